# k3dasync's completion for bash (3.2 and newer):  eval "$(k3dasync completion bash)"
_k3dasync() {
    local program=${1/#\~/$HOME} raw=${COMP_WORDS[COMP_CWORD]} index word line prefix IFS=$'\n'
    local -a words=()
    # Bash splits words at = and :, and we do not; an empty word is one after a blank.
    for ((index = 1; index <= COMP_CWORD; index++)); do
        word=${COMP_WORDS[index]}
        if ((${#words[@]})) && [[ -n $word && (${word:0:1} == [=:] || ${COMP_WORDS[index - 1]} == *[=:]) ]]; then
            words[${#words[@]} - 1]+=$word
        else
            words+=("$word")
        fi
    done
    [[ $raw != [=:] ]] || raw=
    word=${words[${#words[@]} - 1]}
    prefix=${word%"$raw"} # what stays: bash replaces what is behind the last = or :
    COMPREPLY=()
    while read -r line; do
        line=${line%%$'\t'*}
        case $line in
            :files) _k3dasync_files "$raw" '' ;;
            :yaml) _k3dasync_files "$raw" '!*.yaml' '!*.yml' ;;
            ?*) COMPREPLY+=("${line#"$prefix"}") ;;
        esac
    done < <("$program" __complete "${words[@]}" 2>/dev/null)
}

# _k3dasync_files START PATTERN…: files which no pattern excludes, and directories.
_k3dasync_files() {
    local start=$1 pattern found
    shift
    compopt -o filenames 2>/dev/null # bash 4: a / behind directories, and blanks quoted
    while read -r found; do COMPREPLY+=("$found"); done < <({
        compgen -d -- "$start"
        for pattern in "$@"; do compgen -f -X "$pattern" -- "$start"; done
    } | sort -u)
}

complete -F _k3dasync k3dasync
