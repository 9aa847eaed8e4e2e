# bash completion for sendpostctl(8). Commands, words and options are read from its own --help, so that they are
# those of the installed version.
_sendpostctl()
{
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} program=${COMP_WORDS[0]}
    local command='' index help words

    for ((index = 1; index < COMP_CWORD; index++)); do
        case ${COMP_WORDS[index]} in
        -c | --config) ((index++)) ;;
        -*) ;;
        *) command=${COMP_WORDS[index]}; break ;;
        esac
    done
    case $previous in
    -c | --config | --*-file | --program | import | export)
        mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    --state-dir | --postfix-config)
        mapfile -t COMPREPLY < <(compgen -d -- "$current"); return ;;
    --user)
        mapfile -t COMPREPLY < <(compgen -u -- "$current"); return ;;
    --security) words='starttls tls none' ;;
    --state) words='pending reported rejected local' ;;
    *)
        help=$("$program" $command --help 2>/dev/null) || return
        if [[ -z $command && $current != -* ]]; then
            words=$(sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p' <<<"$help")
        elif [[ $current == -* ]]; then
            words=$(grep -oE -- ' --[a-z-]+' <<<"$help")
        else # the fixed words of the synopsis: lower case, and neither options nor their values
            words=$(sed -n '1{s/^Usage: sendpostctl [a-z]*//;s/--[a-z-]* [A-Z]*//g;p}' <<<"$help" | grep -oE '[a-z]{3,}')
        fi
        ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -F _sendpostctl sendpostctl
