"""What each shell is told: ask us for every word. Small, so that there is nothing to get old."""

BASH = """\
# bash completion for k3dasync: source <(k3dasync completion bash)
_k3dasync() {
    local word
    local -a words=("${COMP_WORDS[@]:1:COMP_CWORD}")
    COMPREPLY=()
    while IFS=$'\\t' read -r word _; do
        COMPREPLY+=("$word")
    done < <("${COMP_WORDS[0]}" __complete bash "${words[@]}" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]]; then compopt -o nospace; fi
}
complete -o default -F _k3dasync k3dasync
"""
# `-o default`: files, where we know of nothing.

ZSH = """\
#compdef k3dasync
# zsh completion for k3dasync: source <(k3dasync completion zsh)
_k3dasync() {
    local word text
    local -a found shown
    while IFS=$'\\t' read -r word text; do
        found+=("$word")
        shown+=("$word${text:+  -- $text}")
    done < <("${words[1]}" __complete zsh "${(@)words[2,CURRENT]}" 2>/dev/null)
    if (( ${#found} )); then
        compadd -l -d shown -a found
    else
        _files
    fi
}
if [[ ${funcstack[1]} == _k3dasync ]]; then
    _k3dasync "$@"
else
    compdef _k3dasync k3dasync
fi
"""

FISH = """\
# fish completion for k3dasync: k3dasync completion fish | source
function __k3dasync_ask
    set -l words (commandline -opc)
    set -l current "$(commandline -ct)"
    set -g __k3dasync_found ($words[1] __complete fish $words[2..-1] $current 2>/dev/null)
    test (count $__k3dasync_found) -gt 0
end
complete -c k3dasync -f -n __k3dasync_ask -a '$__k3dasync_found'
"""
# Where the condition fails, fish offers files.

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
