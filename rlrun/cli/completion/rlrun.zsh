#compdef rlrun
# Completion of rlrun's words in zsh: eval "$(rlrun completion zsh)" after compinit; or a file _rlrun in a directory of fpath.
_rlrun() {
    emulate -L zsh
    local program=${(Q)words[1]/#\~/$HOME} line text
    local -a ended ended_shown open open_shown quoted
    whence -p -- $program >/dev/null || program=rlrun # such as an alias
    [[ $PREFIX == \~/* ]] && quoted=(-Q) # zsh itself would quote the ~ of the home directory
    for line in "${(@f)$("$program" complete -- "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}"; do
        text=${line%%$'\t'*}
        [[ -n $text ]] || continue
        [[ $line == *$'\t'* ]] && line="$text  -- ${line#*$'\t'}"
        (( $#quoted )) && text="~/${(q)text#\~/}"
        if [[ $text == *[=./] ]]; then
            open+=("$text") open_shown+=("$line")
        else
            ended+=("$text") ended_shown+=("$line")
        fi
    done
    # -V keeps the order; -S '': more of the word is to come
    (( $#ended )) && compadd $quoted -l -V words -d ended_shown -a ended
    (( $#open )) && compadd $quoted -l -V begun -S '' -d open_shown -a open
}
if [[ $funcstack[1] == _rlrun ]]; then
    _rlrun "$@"
else
    compdef _rlrun rlrun
fi
