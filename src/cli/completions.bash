# Completion of `runbook` for bash: the program itself is asked.
_runbook_complete() {
    # Bash splits what is typed at `=`, `:` and `@` too (COMP_WORDBREAKS), and puts what is found only in place of
    # what stands behind the last of them. So the words are joined here as they stand in the line, and the
    # beginning of the last one is taken off of each answer.
    local IFS=$' \t\n' breaks='^[=:@]+$'
    local rest=$COMP_LINE before='' piece='' former='' begin='' written='' answer='' space='' i
    local words=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        former=$piece
        piece=${COMP_WORDS[i]}
        before=${rest%%[![:space:]]*}
        rest=${rest#"$before"}
        rest=${rest#"$piece"}
        case $piece in
            \"*\" | \'*\') ((i < COMP_CWORD)) && piece=${piece:1:${#piece}-2} ;;
            '~/'*) ((i < COMP_CWORD)) && piece=$HOME/${piece:2} ;;
        esac
        begin=''
        if [[ ${#words[@]} -gt 0 && -z $before && -n $piece ]] && [[ $piece =~ $breaks || $former =~ $breaks ]]; then
            begin=${words[${#words[@]} - 1]}
            unset "words[${#words[@]} - 1]"
        fi
        words+=("$begin$piece")
    done
    if [[ $piece =~ $breaks ]]; then
        begin=$begin$piece
    else
        # The part of it before the cursor.
        written=$2
    fi
    words[${#words[@]} - 1]=$begin$written
    COMPREPLY=()
    if compopt +o nospace 2> /dev/null; then
        space=yes
    fi
    while IFS= read -r -d $'\013' answer || [[ -n $answer ]]; do
        if [[ $answer == "$begin"* ]]; then
            COMPREPLY+=("${answer#"$begin"}")
            if [[ $answer =~ [=/:.]$ && -n $space ]]; then
                compopt -o nospace
            fi
        fi
    done < <(
        RUNBOOK_COMPLETE=bash _CLAP_IFS=$'\013' _CLAP_COMPLETE_INDEX=$((${#words[@]} - 1)) \
            runbook -- "${words[@]}" 2> /dev/null
    )
}
# Bash before 4.4 has no `nosort`: newest runs first is an order.
complete -o nospace -o bashdefault -o nosort -F _runbook_complete runbook 2> /dev/null ||
    complete -o nospace -o bashdefault -F _runbook_complete runbook
