# Completion of `cargo xtask` for bash. Made by `cargo xtask completions bash`.
#
# `cargo xtask ...` is completed by the compiled xtask; every other line by cargo's own completion,
# and so is this one where xtask is not compiled or does not know the directory.

_durango_xtask_program=@PROGRAM@

_durango_xtask() {
    local i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            -* | +*) ;;
            xtask)
                _durango_xtask_complete && return 0
                break
                ;;
            *) break ;;
        esac
    done
    _durango_cargo "$@"
}

_durango_xtask_complete() {
    [[ -x $_durango_xtask_program ]] || return 1
    # bash splits words at `=` and `:`, too. Pieces without a space between them are one word.
    local words=() rest=${COMP_LINE:0:COMP_POINT} trimmed piece i
    for ((i = 0; i <= COMP_CWORD; i++)); do
        trimmed=${rest#"${rest%%[![:space:]]*}"}
        piece=${COMP_WORDS[i]}
        ((i < COMP_CWORD)) || piece=$trimmed
        if ((i == 0)) || [[ $trimmed != "$rest" ]]; then
            words+=("$piece")
        else
            words[${#words[@]} - 1]+=$piece
        fi
        rest=${trimmed#"$piece"}
    done
    while [[ ${words[0]} != xtask ]]; do words=("${words[@]:1}"); done
    local answer
    answer=$("$_durango_xtask_program" __complete "${words[@]:1}" 2>/dev/null) || return 1
    local current=${words[${#words[@]} - 1]} kind candidate about
    # readline replaces what follows the last `=` or `:` alone.
    local kept=${current%"${current##*[=:]}"}
    [[ $COMP_WORDBREAKS == *:* ]] || kept=${current%"${current##*=}"}
    COMPREPLY=()
    {
        read -r kind
        case $kind in
            files) return 0 ;;
            directories)
                compopt +o bashdefault +o default -o dirnames
                return 0
                ;;
        esac
        compopt +o bashdefault +o default
        while read -r candidate about; do
            COMPREPLY+=("${candidate#"$kept"}")
        done
    } <<<"$answer"
    if ((${#COMPREPLY[@]} == 1)) && [[ ${COMPREPLY[0]} == *[=,] ]]; then compopt -o nospace; fi
    return 0
}

# Completes other commands of cargo as before. Their completion may be loaded late.
_durango_cargo() {
    if [[ -z $_durango_cargo_function ]]; then
        if declare -F _comp_load >/dev/null; then
            _comp_load cargo
        elif declare -F _completion_loader >/dev/null; then
            _completion_loader cargo
        fi
        _durango_xtask_wrap
    fi
    [[ $_durango_cargo_function == - ]] || "$_durango_cargo_function" "$@"
}

# Takes the place of the completion that cargo has now.
_durango_xtask_wrap() {
    local before
    before=$(complete -p cargo 2>/dev/null)
    if [[ $before =~ \ -F\ ([^ ]+) && ${BASH_REMATCH[1]} != _durango_xtask ]]; then
        _durango_cargo_function=${BASH_REMATCH[1]}
    elif [[ -n $before ]]; then
        _durango_cargo_function=${_durango_cargo_function:--}
    fi
    complete -o bashdefault -o default -F _durango_xtask cargo
}

_durango_cargo_function=
_durango_xtask_wrap
