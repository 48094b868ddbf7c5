# Completion of rlrun's words in fish: rlrun completion fish | source
function __rlrun_candidates
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l program $words[1]
    command -q $program; or set program rlrun # such as an alias
    $program complete -- $words[2..-1] (string unescape -- "$current"; or printf '%s\n' "$current") 2>/dev/null
end
complete -c rlrun -f -k -a '(__rlrun_candidates)'
