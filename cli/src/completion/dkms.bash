# Completion of dkms for bash. What is offered is made by the program: actions, modules, versions, kernels, options.
_dkms() {
    mapfile -t COMPREPLY < <(dkms completions candidates -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _dkms dkms
