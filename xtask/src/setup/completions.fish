# Completion of `cargo xtask` for fish. Made by `cargo xtask completions fish`.
#
# The compiled xtask adds its candidates to those of cargo. Where xtask is not compiled or does not
# know the directory, cargo's are the only ones.

set -g __durango_xtask_program @PROGRAM@

# Prints the words after `xtask`, one a line; fails where the line is for another command.
function __durango_xtask_words
    set -l words (commandline -opc)
    set -e words[1]
    while set -q words[1]
        set -l word $words[1]
        set -e words[1]
        switch $word
            case '-*' '+*'
            case xtask
                test (count $words) -eq 0; or printf '%s\n' $words
                return 0
            case '*'
                return 1
        end
    end
    return 1
end

function __durango_xtask_is_ours
    test -x $__durango_xtask_program; and __durango_xtask_words >/dev/null
end

function __durango_xtask_complete
    set -l words (__durango_xtask_words)
    set -l current (commandline -ct)
    set -l answer ($__durango_xtask_program __complete $words $current 2>/dev/null); or return
    switch $answer[1]
        case words
            set -e answer[1]
            string replace ' ' \t -- $answer
        case files directories
            set -l option (string match -r -- '^--[^=]*=' $current)
            set -l value (string replace -r -- '^--[^=]*=' '' $current)
            if test $answer[1] = files
                __fish_complete_path $value | string replace -r -- '^' "$option"
            else
                __fish_complete_directories $value | string replace -r -- '^' "$option"
            end
    end
end

complete -c cargo -n __durango_xtask_is_ours -f -k -a '(__durango_xtask_complete)'
