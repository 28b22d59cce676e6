#compdef dkms
# Completion of dkms for zsh. What is offered is made by the program: actions, modules, versions, kernels, options.
_dkms() {
    local -a offered
    offered=(${(f)"$(dkms completions candidates -- "${(@)words[2,CURRENT]}" 2>/dev/null)"})
    if (( $#offered )); then compadd -a offered; else _files; fi
}
# Loaded as a function of zsh's own, or read by a startup file.
if [[ $funcstack[1] == _dkms ]]; then _dkms "$@"; else compdef _dkms dkms; fi
