#compdef k3dasync
# k3dasync's completion for zsh, after compinit:  eval "$(k3dasync completion zsh)"
# or as a file _k3dasync in a directory of $fpath.
_k3dasync() {
    local line
    local -a shown plain
    for line in "${(@f)$("${(Q)~words[1]}" __complete "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}"; do
        case $line in
            :files) [[ $PREFIX != --*=* ]] || compset -P '*='; _files ;;
            :yaml) [[ $PREFIX != --*=* ]] || compset -P '*='; _files -g '*.(yaml|yml)' ;;
            *$'\t'*) shown+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
            ?*) plain+=("$line") ;;
        esac
    done
    (( ! $#shown )) || _describe k3dasync shown
    (( ! $#plain )) || compadd -- "${plain[@]}"
}

compdef _k3dasync k3dasync
[[ ${funcstack[1]} != _k3dasync ]] || _k3dasync "$@"
