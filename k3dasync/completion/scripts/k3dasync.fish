# k3dasync's completion for fish:  k3dasync completion fish | source
# or as ~/.config/fish/completions/k3dasync.fish.
function __k3dasync_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l program (string replace -r '^~' -- $HOME $words[1])
    set -e words[1]
    for line in ($program __complete $words "$current" 2>/dev/null)
        switch $line
            case :files
                __k3dasync_paths "$current" '.'
            case :yaml
                __k3dasync_paths "$current" '^[^\t]*(/|\.ya?ml)(\t|$)'
            case '*'
                printf '%s\n' $line
        end
    end
end

# Paths that match a pattern, behind --flag= if the word begins with it.
function __k3dasync_paths -a word pattern
    set -l flag (string match -r -- '^--[^=]+=' $word)
    for path in (__fish_complete_path (string replace -r -- '^--[^=]+=' '' $word))
        string match -qr -- $pattern $path; and printf '%s\n' "$flag$path"
    end
end

complete -c k3dasync -e
complete -c k3dasync -f -a '(__k3dasync_complete)'
