# Completion of rlrun's words in bash (3.2 or newer): eval "$(rlrun completion bash)"
_rlrun() {
    local program="${1/#\~/$HOME}" reply
    type -P "$program" >/dev/null || program=rlrun # such as an alias
    COMPREPLY=()
    while IFS= read -r reply; do
        COMPREPLY+=("$reply")
    done < <("$program" complete bash "${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS" 2>/dev/null)
}
# nospace: rlrun itself says where a word ends. nosort: the present value comes first (bash 4.4 or newer).
complete -o nospace -o nosort -F _rlrun rlrun 2>/dev/null || complete -o nospace -F _rlrun rlrun
