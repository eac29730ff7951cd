# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_fastswanctl_global_optspecs
    string join \n color= vici= socket= h/help V/version
end

function __fish_fastswanctl_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_fastswanctl_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_fastswanctl_using_subcommand
    set -l cmd (__fish_fastswanctl_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c fastswanctl -n "__fish_fastswanctl_needs_command" -l color -d 'Colours: with auto, on a terminal, unless NO_COLOR is set' -r -f -a "auto\t'If stdout is a terminal that can, and NO_COLOR is not set'
always\t'Always'
never\t'Never'"
complete -c fastswanctl -n "__fish_fastswanctl_needs_command" -l vici -d 'charon\'s vici socket' -r -F
complete -c fastswanctl -n "__fish_fastswanctl_needs_command" -l socket -d 'The plugin\'s socket' -r -F
complete -c fastswanctl -n "__fish_fastswanctl_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c fastswanctl -n "__fish_fastswanctl_needs_command" -s V -l version -d 'Print version'
complete -c fastswanctl -n "__fish_fastswanctl_needs_command" -f -a "doctor" -d 'Checks whether packet offload can work here, with remedies'
complete -c fastswanctl -n "__fish_fastswanctl_needs_command" -f -a "status" -d 'Shows each CHILD_SA with what kernel and NIC really hold of it'
complete -c fastswanctl -n "__fish_fastswanctl_needs_command" -f -a "guard" -d 'Lists and opens the gates against traffic in clear'
complete -c fastswanctl -n "__fish_fastswanctl_needs_command" -f -a "watch" -d 'Shows status, live; keys sort and filter'
complete -c fastswanctl -n "__fish_fastswanctl_needs_command" -f -a "metrics" -d 'Writes counters in the text format of Prometheus'
complete -c fastswanctl -n "__fish_fastswanctl_needs_command" -f -a "version" -d 'Shows the versions of command, plugin, strongSwan and kernel'
complete -c fastswanctl -n "__fish_fastswanctl_needs_command" -f -a "completions" -d 'Writes a completion script for a shell to stdout'
complete -c fastswanctl -n "__fish_fastswanctl_needs_command" -f -a "man" -d 'Writes the manual page to stdout'
complete -c fastswanctl -n "__fish_fastswanctl_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand doctor" -l conf -d 'Checks the connections of a swanctl.conf instead of the loaded ones' -r -F
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand doctor" -l live -d 'Also has a device take and drop trial SAs and policies' -r
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand doctor" -l record -d 'Writes what was found out about this machine to a folder' -r -F
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand doctor" -l from -d 'Judges a recorded machine instead of this one' -r -F
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand doctor" -l kernel-fixes -d 'Fixes that the kernel has beyond its release' -r
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand doctor" -l color -d 'Colours: with auto, on a terminal, unless NO_COLOR is set' -r -f -a "auto\t'If stdout is a terminal that can, and NO_COLOR is not set'
always\t'Always'
never\t'Never'"
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand doctor" -l vici -d 'charon\'s vici socket' -r -F
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand doctor" -l socket -d 'The plugin\'s socket' -r -F
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand doctor" -l json -d 'As JSON'
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand status" -l child -d 'Only CHILD_SAs of this name, in detail' -r
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand status" -l device -d 'Only what is on this device' -r
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand status" -l peer -d 'Only CHILD_SAs with this peer' -r
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand status" -l interval -d 'Seconds between the two looks that rates are made of' -r
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand status" -l from -d 'Shows a recorded machine instead of this one' -r -F
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand status" -l color -d 'Colours: with auto, on a terminal, unless NO_COLOR is set' -r -f -a "auto\t'If stdout is a terminal that can, and NO_COLOR is not set'
always\t'Always'
never\t'Never'"
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand status" -l vici -d 'charon\'s vici socket' -r -F
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand status" -l socket -d 'The plugin\'s socket' -r -F
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand status" -l json -d 'As JSON'
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand status" -l brief -d 'One line for each CHILD_SA'
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand guard; and not __fish_seen_subcommand_from list open help" -l color -d 'Colours: with auto, on a terminal, unless NO_COLOR is set' -r -f -a "auto\t'If stdout is a terminal that can, and NO_COLOR is not set'
always\t'Always'
never\t'Never'"
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand guard; and not __fish_seen_subcommand_from list open help" -l vici -d 'charon\'s vici socket' -r -F
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand guard; and not __fish_seen_subcommand_from list open help" -l socket -d 'The plugin\'s socket' -r -F
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand guard; and not __fish_seen_subcommand_from list open help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand guard; and not __fish_seen_subcommand_from list open help" -f -a "list" -d 'Lists the gates that are closed, and who holds them'
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand guard; and not __fish_seen_subcommand_from list open help" -f -a "open" -d 'Opens gates: what they guard may then leave and enter in clear'
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand guard; and not __fish_seen_subcommand_from list open help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand guard; and __fish_seen_subcommand_from list" -l color -d 'Colours: with auto, on a terminal, unless NO_COLOR is set' -r -f -a "auto\t'If stdout is a terminal that can, and NO_COLOR is not set'
always\t'Always'
never\t'Never'"
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand guard; and __fish_seen_subcommand_from list" -l vici -d 'charon\'s vici socket' -r -F
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand guard; and __fish_seen_subcommand_from list" -l socket -d 'The plugin\'s socket' -r -F
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand guard; and __fish_seen_subcommand_from list" -l json -d 'As JSON'
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand guard; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand guard; and __fish_seen_subcommand_from open" -l color -d 'Colours: with auto, on a terminal, unless NO_COLOR is set' -r -f -a "auto\t'If stdout is a terminal that can, and NO_COLOR is not set'
always\t'Always'
never\t'Never'"
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand guard; and __fish_seen_subcommand_from open" -l vici -d 'charon\'s vici socket' -r -F
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand guard; and __fish_seen_subcommand_from open" -l socket -d 'The plugin\'s socket' -r -F
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand guard; and __fish_seen_subcommand_from open" -l all -d 'All gates'
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand guard; and __fish_seen_subcommand_from open" -l json -d 'As JSON'
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand guard; and __fish_seen_subcommand_from open" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand guard; and __fish_seen_subcommand_from help" -f -a "list" -d 'Lists the gates that are closed, and who holds them'
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand guard; and __fish_seen_subcommand_from help" -f -a "open" -d 'Opens gates: what they guard may then leave and enter in clear'
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand guard; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand watch" -l interval -d 'Seconds between two looks' -r
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand watch" -l from -d 'Shows a recorded machine instead of this one' -r -F
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand watch" -l color -d 'Colours: with auto, on a terminal, unless NO_COLOR is set' -r -f -a "auto\t'If stdout is a terminal that can, and NO_COLOR is not set'
always\t'Always'
never\t'Never'"
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand watch" -l vici -d 'charon\'s vici socket' -r -F
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand watch" -l socket -d 'The plugin\'s socket' -r -F
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand watch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand metrics" -l textfile -d 'Writes to a file, under another name first; for the textfile collector' -r -F
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand metrics" -l listen -d 'Serves them over HTTP' -r
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand metrics" -l from -d 'Counts a recorded machine instead of this one' -r -F
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand metrics" -l color -d 'Colours: with auto, on a terminal, unless NO_COLOR is set' -r -f -a "auto\t'If stdout is a terminal that can, and NO_COLOR is not set'
always\t'Always'
never\t'Never'"
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand metrics" -l vici -d 'charon\'s vici socket' -r -F
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand metrics" -l socket -d 'The plugin\'s socket' -r -F
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand metrics" -l per-child -d 'One series per CHILD_SA; else they are summed up by device and mode'
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand metrics" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand version" -l color -d 'Colours: with auto, on a terminal, unless NO_COLOR is set' -r -f -a "auto\t'If stdout is a terminal that can, and NO_COLOR is not set'
always\t'Always'
never\t'Never'"
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand version" -l vici -d 'charon\'s vici socket' -r -F
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand version" -l socket -d 'The plugin\'s socket' -r -F
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand version" -l json -d 'As JSON'
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand version" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand completions" -l color -d 'Colours: with auto, on a terminal, unless NO_COLOR is set' -r -f -a "auto\t'If stdout is a terminal that can, and NO_COLOR is not set'
always\t'Always'
never\t'Never'"
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand completions" -l vici -d 'charon\'s vici socket' -r -F
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand completions" -l socket -d 'The plugin\'s socket' -r -F
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand man" -l color -d 'Colours: with auto, on a terminal, unless NO_COLOR is set' -r -f -a "auto\t'If stdout is a terminal that can, and NO_COLOR is not set'
always\t'Always'
never\t'Never'"
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand man" -l vici -d 'charon\'s vici socket' -r -F
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand man" -l socket -d 'The plugin\'s socket' -r -F
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand man" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand help; and not __fish_seen_subcommand_from doctor status guard watch metrics version completions man help" -f -a "doctor" -d 'Checks whether packet offload can work here, with remedies'
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand help; and not __fish_seen_subcommand_from doctor status guard watch metrics version completions man help" -f -a "status" -d 'Shows each CHILD_SA with what kernel and NIC really hold of it'
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand help; and not __fish_seen_subcommand_from doctor status guard watch metrics version completions man help" -f -a "guard" -d 'Lists and opens the gates against traffic in clear'
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand help; and not __fish_seen_subcommand_from doctor status guard watch metrics version completions man help" -f -a "watch" -d 'Shows status, live; keys sort and filter'
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand help; and not __fish_seen_subcommand_from doctor status guard watch metrics version completions man help" -f -a "metrics" -d 'Writes counters in the text format of Prometheus'
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand help; and not __fish_seen_subcommand_from doctor status guard watch metrics version completions man help" -f -a "version" -d 'Shows the versions of command, plugin, strongSwan and kernel'
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand help; and not __fish_seen_subcommand_from doctor status guard watch metrics version completions man help" -f -a "completions" -d 'Writes a completion script for a shell to stdout'
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand help; and not __fish_seen_subcommand_from doctor status guard watch metrics version completions man help" -f -a "man" -d 'Writes the manual page to stdout'
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand help; and not __fish_seen_subcommand_from doctor status guard watch metrics version completions man help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand help; and __fish_seen_subcommand_from guard" -f -a "list" -d 'Lists the gates that are closed, and who holds them'
complete -c fastswanctl -n "__fish_fastswanctl_using_subcommand help; and __fish_seen_subcommand_from guard" -f -a "open" -d 'Opens gates: what they guard may then leave and enter in clear'
