# Completion of `cargo xtask` for zsh. Made by `cargo xtask completions zsh`.
#
# `cargo xtask ...` is completed by the compiled xtask; every other line by cargo's own completion,
# and so is this one where xtask is not compiled or does not know the directory.

# Without `compinit` nothing is completed.
if (( $+functions[compdef] )); then

typeset -g _durango_xtask_program=@PROGRAM@

_durango_xtask() {
    local -i i
    for (( i = 2; i < CURRENT; i++ )); do
        case $words[i] in
            -*|+*) ;;
            xtask)
                _durango_xtask_complete $i && return 0
                break
                ;;
            *) break ;;
        esac
    done
    ${_durango_cargo_function:-_default} "$@"
}

_durango_xtask_complete() {
    [[ -x $_durango_xtask_program ]] || return 1
    local -a line answer plain open
    (( CURRENT > $1 + 1 )) && line=("${(@Q)words[$1+1,CURRENT-1]}")
    line+=("${(Q)PREFIX}")
    answer=("${(@f)$($_durango_xtask_program __complete "${line[@]}" 2>/dev/null)}") || return 1
    case $answer[1] in
        files|directories)
            compset -P '--*='
            if [[ $answer[1] == files ]]; then _files; else _files -/; fi
            return 0
            ;;
        words) ;;
        *) return 1 ;;
    esac
    local candidate word about
    for candidate in "${(@)answer[2,-1]}"; do
        word=${${candidate%% *}//:/\\:}
        about=${candidate#* }
        if [[ $word == *[=,] ]]; then open+=("$word:$about"); else plain+=("$word:$about"); fi
    done
    (( $#plain )) && _describe -t xtask xtask plain
    (( $#open )) && _describe -t xtask-open xtask open -S ''
    return 0
}

typeset -g _durango_cargo_function
if [[ $_comps[cargo] != _durango_xtask ]]; then _durango_cargo_function=$_comps[cargo]; fi
compdef _durango_xtask cargo

fi
