# Completion of dkms for fish. What is offered is made by the program: actions, modules, versions, kernels, options.
complete -c dkms -a '(dkms completions candidates -- (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
