# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_dantetimesync_global_optspecs
    string join \n interface= capture= ntp-server= skip-ntp= dry-run= utc-limit= utc-slew= utc-slew-window= step-threshold= late-step= panic-threshold= leap= subdomain= state-file= status-socket= event-file= force-steer= real-time= log-level= log-format= config= v/verbose q/quiet h/help V/version
end

function __fish_dantetimesync_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_dantetimesync_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_dantetimesync_using_subcommand
    set -l cmd (__fish_dantetimesync_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c dantetimesync -n "__fish_dantetimesync_needs_command" -l interface -d 'Listen on this interface only, named by its name or address; "auto" listens on all and follows the one on which a leader is heard [default: auto]' -r
complete -c dantetimesync -n "__fish_dantetimesync_needs_command" -l capture -d 'How PTP is heard: by the UDP ports 319 and 320 ("udp"), or without holding them ("raw", Windows only). "auto" leaves the ports to Dante\'s own software and to whoever holds them [default: auto]' -r
complete -c dantetimesync -n "__fish_dantetimesync_needs_command" -l ntp-server -d 'Take the date from this NTP server. Several may be given: with three or more, one that lies is outvoted [default: 10.77.8.2]' -r
complete -c dantetimesync -n "__fish_dantetimesync_needs_command" -l skip-ntp -d 'Do not ask any NTP server: the date stays as it is. Not in one file with ntp-server, nor in one command' -r
complete -c dantetimesync -n "__fish_dantetimesync_needs_command" -l dry-run -d 'Do everything but steer: the system clock is not touched' -r
complete -c dantetimesync -n "__fish_dantetimesync_needs_command" -l utc-limit -d 'How far the clock may leave UTC to follow the leader: "none", or a time like "500ms", beyond which it is slewed back to UTC; "0" follows UTC always [default: none; 1ms to 24h]' -r
complete -c dantetimesync -n "__fish_dantetimesync_needs_command" -l utc-slew -d 'How fast the clock is slewed back to UTC at most [default: 100; 1 to 500 ppm]' -r
complete -c dantetimesync -n "__fish_dantetimesync_needs_command" -l utc-slew-window -d 'Slew back to UTC only at this time of day, in local time, like "02:00-05:00". It wins over the limit: the clock comes back early where the limit would be passed before the next window, and late where it was passed outside of one [default: none]' -r
complete -c dantetimesync -n "__fish_dantetimesync_needs_command" -l step-threshold -d 'At the start, step the clock when it is further off UTC than this [default: 1ms; 10us to 1h]' -r
complete -c dantetimesync -n "__fish_dantetimesync_needs_command" -l late-step -d 'When the first answer of NTP comes only after the clock has locked, and the clock is more than 1 s off: step it that once ("first-fix"), or slew it ("never") [default: first-fix]' -r
complete -c dantetimesync -n "__fish_dantetimesync_needs_command" -l panic-threshold -d 'After the first answer, do not believe an error against UTC above this [default: 10s; 1s to 24h]' -r
complete -c dantetimesync -n "__fish_dantetimesync_needs_command" -l leap -d 'A leap second: UTC moves and utc-limit decides what follows ("slew"), or the kernel is told and steps the clock ("kernel") [default: slew]' -r
complete -c dantetimesync -n "__fish_dantetimesync_needs_command" -l subdomain -d 'Follow leaders of this PTP subdomain [default: _DFLT]' -r
complete -c dantetimesync -n "__fish_dantetimesync_needs_command" -l state-file -d 'Keep here what is needed to go on after a restart without a step; "none" keeps nothing [default: /var/lib/dantetimesync/state.json]' -r
complete -c dantetimesync -n "__fish_dantetimesync_needs_command" -l status-socket -d 'Tell whoever connects here how the clock is; "none" tells nobody. In a dry run nobody is told where no place is named [default: /run/dantetimesync/status.sock]' -r
complete -c dantetimesync -n "__fish_dantetimesync_needs_command" -l event-file -d 'Keep the history of events here; "none" keeps none. Where no file is named it is kept beside the state file, and not where no state is kept [default: /var/lib/dantetimesync/events.jsonl]' -r
complete -c dantetimesync -n "__fish_dantetimesync_needs_command" -l force-steer -d 'Steer even though another program (chronyd, ntpd ...) is steering the clock' -r
complete -c dantetimesync -n "__fish_dantetimesync_needs_command" -l real-time -d 'Run before other programs and stay in memory where the system allows it ("auto"), or like any program ("never") [default: auto]' -r
complete -c dantetimesync -n "__fish_dantetimesync_needs_command" -l log-level -d 'How much is said: "warn" only what needs doing something about, "debug" more, "trace" every packet [default: info]' -r
complete -c dantetimesync -n "__fish_dantetimesync_needs_command" -l log-format -d 'How log lines look: "text", or "json", an object a line [default: text]' -r
complete -c dantetimesync -n "__fish_dantetimesync_needs_command" -l config -d 'Read this file [default: /etc/dantetimesync/config.toml]' -r -F
complete -c dantetimesync -n "__fish_dantetimesync_needs_command" -s v -l verbose -d 'Say more, like --log-level debug; twice: every packet'
complete -c dantetimesync -n "__fish_dantetimesync_needs_command" -s q -l quiet -d 'Say only what needs doing something about, like --log-level warn'
complete -c dantetimesync -n "__fish_dantetimesync_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c dantetimesync -n "__fish_dantetimesync_needs_command" -s V -l version -d 'Print version'
complete -c dantetimesync -n "__fish_dantetimesync_needs_command" -f -a "status" -d 'Say whether the clock is locked, how well, and if not, why'
complete -c dantetimesync -n "__fish_dantetimesync_needs_command" -f -a "watch" -d 'Watch the service in the terminal: state, leaders, offset, rate and jitter over time'
complete -c dantetimesync -n "__fish_dantetimesync_needs_command" -f -a "monitor" -d 'Listen to the network, touch no clock, and judge what is heard: is my leader good?'
complete -c dantetimesync -n "__fish_dantetimesync_needs_command" -f -a "events" -d 'Show what happened: locks, leaders, steps, the way to UTC, other programs\' hands on the clock'
complete -c dantetimesync -n "__fish_dantetimesync_needs_command" -f -a "demo" -d 'Show it work on this computer: a leader on loopback, a clock made of numbers, no root'
complete -c dantetimesync -n "__fish_dantetimesync_needs_command" -f -a "replay" -d 'Judge a recorded capture of a Dante network: which leaders, how good, how fast this computer was'
complete -c dantetimesync -n "__fish_dantetimesync_needs_command" -f -a "doctor" -d 'Look at this computer and its network, and say what is wrong and what mends it'
complete -c dantetimesync -n "__fish_dantetimesync_needs_command" -f -a "simulate" -d 'Run the real program in a simulated world, in virtual time, and print how well it did'
complete -c dantetimesync -n "__fish_dantetimesync_needs_command" -f -a "bench" -d 'Run it in all worlds that come with it, and compare every figure with what must be reached'
complete -c dantetimesync -n "__fish_dantetimesync_needs_command" -f -a "check-config" -d 'Check a configuration file, and tell everything that is wrong with it'
complete -c dantetimesync -n "__fish_dantetimesync_needs_command" -f -a "test-clock" -d 'Try whether the system clock does as it is told: two seconds of ±50 ppm, then it is as it was (needs root)'
complete -c dantetimesync -n "__fish_dantetimesync_needs_command" -f -a "service" -d 'Install the service, and hand the clock over to it from another time service and back'
complete -c dantetimesync -n "__fish_dantetimesync_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand status" -l wait-locked -d 'Wait until the clock is locked, at most so long' -r
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand status" -l socket -d 'Where the service tells its status [default: status-socket in the configuration file, or /run/dantetimesync/status.sock]' -r -F
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand status" -l json -d 'Print everything as JSON; docs/status.md explains each field'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand status" -s h -l help -d 'Print help'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand watch" -l socket -d 'Where the service tells its status [default: status-socket in the configuration file, or /run/dantetimesync/status.sock]' -r -F
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand watch" -s h -l help -d 'Print help'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand monitor" -l interface -d 'Listen on this interface only. Default: on all' -r
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand monitor" -l seconds -d 'How long to listen' -r
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand monitor" -l subdomain -d 'Follow leaders of this PTP subdomain' -r
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand monitor" -l json -d 'Print the verdict as JSON'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand monitor" -s h -l help -d 'Print help'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand events" -l since -d 'Only what happened since then: a length of time like 30m, 2h or 7d, or a date in UTC like 2026-05-28 or "2026-05-28 20:26"' -r
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand events" -l file -d 'The history [default: event-file in the configuration file, or /var/lib/dantetimesync/events.jsonl]' -r -F
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand events" -l json -d 'Print JSON, an object a line'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand events" -s h -l help -d 'Print help'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand demo" -l seconds -d 'How long to run' -r
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand demo" -l leader-ppm -d 'How fast the leader\'s clock runs, in ppm' -r
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand demo" -l leader-ppm-step -d 'Let the leader turn by this many ppm half-way; the demo then succeeds only if the lock was left and found again' -r
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand demo" -l status-socket -d 'Tell whoever connects to this socket how the clock is, as the service does: for `status` and `watch`' -r -F
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand demo" -l event-file -d 'Keep the history of events here, as the service does' -r -F
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand demo" -l until-locked -d 'End as soon as it is locked, or locked again after the leader\'s turn; `--seconds` is then the longest it takes'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand demo" -s h -l help -d 'Print help'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand replay" -l subdomain -d 'Follow leaders of this PTP subdomain' -r
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand replay" -l json -d 'Print JSON'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand replay" -s h -l help -d 'Print help'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand doctor" -l config -d 'Take the service\'s settings from this file [default: the one that the service reads]' -r -F
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand doctor" -l interface -d 'As if the service was told to listen on this interface' -r
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand doctor" -l seconds -d 'How long to listen. A switch that cuts multicast off does so after some minutes: 300 would see it' -r
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand doctor" -l ntp-server -d 'As if the service was told to ask this NTP server (may be given several times)' -r
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand doctor" -l subdomain -d 'As if the service was told to follow this PTP subdomain' -r
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand doctor" -l capture -d 'As if the service was told to hear the network this way' -r
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand doctor" -l state-file -d 'As if the service was told to keep its state here' -r -F
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand doctor" -l json -d 'Print JSON'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand doctor" -l skip-ntp -d 'Do not ask any NTP server'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand simulate" -l seeds -d 'How many worlds to run, each with its own chance; default: what the scenario says' -r
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand simulate" -l seed -d 'Run the world with this seed only, to look at one of many more closely' -r
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand simulate" -l csv -d 'Write the first world\'s course to this file, a line per second' -r -F
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand simulate" -l pcap -d 'Write what the first world\'s computer would have captured to this file' -r -F
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand simulate" -l svg -d 'Draw each file\'s first world into this folder: phase, rate, UTC, bounds and states over time' -r -F
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand simulate" -l json -d 'Print JSON'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand simulate" -s h -l help -d 'Print help'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand bench" -l scenario -d 'Only these scenarios (S7p), or all that begin so (S7*). Default: all' -r
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand bench" -l seeds -d 'How many worlds to run of each, with its own chance each; long scenarios have fewer' -r
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand bench" -l first-seed -d 'Count the seeds from here: other worlds than those of the table' -r
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand bench" -l svg -d 'Draw each scenario\'s first world into this folder: phase, rate, UTC, bounds and states over time' -r -F
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand bench" -l save -d 'Write the table to this file, without what depends on the computer' -r -F
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand bench" -l check -d 'Compare the table with this file, written by --save with the same seeds' -r -F
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand bench" -l json -d 'Print JSON'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand bench" -l allow-known -d 'A figure that is known not to be reached is no failure; with 20 seeds or more, one that is known and is reached is one'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand bench" -s h -l help -d 'Print help'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand check-config" -s h -l help -d 'Print help'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand test-clock" -l trace -d 'Write what was seen to this file, for a report or to look at later' -r -F
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand test-clock" -l replay -d 'Judge this file, written by --trace on any computer; the clock is not touched' -r -F
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand test-clock" -l json -d 'Print JSON'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand test-clock" -l force-steer -d 'Try it even though another program (chronyd, ntpd …) is steering the clock'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand test-clock" -s h -l help -d 'Print help'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand service; and not __fish_seen_subcommand_from install uninstall status takeover release help" -s h -l help -d 'Print help'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand service; and not __fish_seen_subcommand_from install uninstall status takeover release help" -f -a "install" -d 'Write the service\'s files, for systems without the package. What is there and differs is written anew, but not the configuration'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand service; and not __fish_seen_subcommand_from install uninstall status takeover release help" -f -a "uninstall" -d 'Give the clock back, and remove what install wrote'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand service; and not __fish_seen_subcommand_from install uninstall status takeover release help" -f -a "status" -d 'Say whether the service is installed, runs, and what is in its way'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand service; and not __fish_seen_subcommand_from install uninstall status takeover release help" -f -a "takeover" -d 'Stop other services that steer the clock, remember them, and start this one. Nothing is stopped before one of our own NTP servers has answered'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand service; and not __fish_seen_subcommand_from install uninstall status takeover release help" -f -a "release" -d 'Stop this service, and start what was stopped for it'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand service; and not __fish_seen_subcommand_from install uninstall status takeover release help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand service; and __fish_seen_subcommand_from install" -l root -d 'Install into the system in this folder, which does not run' -r -F
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand service; and __fish_seen_subcommand_from install" -l print -d 'Only show what would be written'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand service; and __fish_seen_subcommand_from install" -s h -l help -d 'Print help'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand service; and __fish_seen_subcommand_from uninstall" -l root -d 'Remove from the system in this folder, which does not run' -r -F
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand service; and __fish_seen_subcommand_from uninstall" -l memory -d 'Where it is remembered what was stopped' -r -F
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand service; and __fish_seen_subcommand_from uninstall" -l purge -d 'Remove the configuration, the state and the service\'s user as well'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand service; and __fish_seen_subcommand_from uninstall" -s h -l help -d 'Print help'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand service; and __fish_seen_subcommand_from status" -l memory -d 'Where it is remembered what was stopped' -r -F
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand service; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand service; and __fish_seen_subcommand_from takeover" -l config -d 'Find our NTP servers in this file [default: the one that the service reads]' -r -F
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand service; and __fish_seen_subcommand_from takeover" -l patience -d 'How long to wait for an answer of an NTP server' -r
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand service; and __fish_seen_subcommand_from takeover" -l memory -d 'Where it is remembered what was stopped' -r -F
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand service; and __fish_seen_subcommand_from takeover" -l if-free -d 'Do it only if nothing has to be stopped'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand service; and __fish_seen_subcommand_from takeover" -l no-start -d 'Have the service started at boot, but do not start it now'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand service; and __fish_seen_subcommand_from takeover" -s h -l help -d 'Print help'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand service; and __fish_seen_subcommand_from release" -l memory -d 'Where it is remembered what was stopped' -r -F
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand service; and __fish_seen_subcommand_from release" -s h -l help -d 'Print help'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand service; and __fish_seen_subcommand_from help" -f -a "install" -d 'Write the service\'s files, for systems without the package. What is there and differs is written anew, but not the configuration'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand service; and __fish_seen_subcommand_from help" -f -a "uninstall" -d 'Give the clock back, and remove what install wrote'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand service; and __fish_seen_subcommand_from help" -f -a "status" -d 'Say whether the service is installed, runs, and what is in its way'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand service; and __fish_seen_subcommand_from help" -f -a "takeover" -d 'Stop other services that steer the clock, remember them, and start this one. Nothing is stopped before one of our own NTP servers has answered'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand service; and __fish_seen_subcommand_from help" -f -a "release" -d 'Stop this service, and start what was stopped for it'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand service; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand help; and not __fish_seen_subcommand_from status watch monitor events demo replay doctor simulate bench check-config test-clock service help" -f -a "status" -d 'Say whether the clock is locked, how well, and if not, why'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand help; and not __fish_seen_subcommand_from status watch monitor events demo replay doctor simulate bench check-config test-clock service help" -f -a "watch" -d 'Watch the service in the terminal: state, leaders, offset, rate and jitter over time'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand help; and not __fish_seen_subcommand_from status watch monitor events demo replay doctor simulate bench check-config test-clock service help" -f -a "monitor" -d 'Listen to the network, touch no clock, and judge what is heard: is my leader good?'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand help; and not __fish_seen_subcommand_from status watch monitor events demo replay doctor simulate bench check-config test-clock service help" -f -a "events" -d 'Show what happened: locks, leaders, steps, the way to UTC, other programs\' hands on the clock'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand help; and not __fish_seen_subcommand_from status watch monitor events demo replay doctor simulate bench check-config test-clock service help" -f -a "demo" -d 'Show it work on this computer: a leader on loopback, a clock made of numbers, no root'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand help; and not __fish_seen_subcommand_from status watch monitor events demo replay doctor simulate bench check-config test-clock service help" -f -a "replay" -d 'Judge a recorded capture of a Dante network: which leaders, how good, how fast this computer was'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand help; and not __fish_seen_subcommand_from status watch monitor events demo replay doctor simulate bench check-config test-clock service help" -f -a "doctor" -d 'Look at this computer and its network, and say what is wrong and what mends it'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand help; and not __fish_seen_subcommand_from status watch monitor events demo replay doctor simulate bench check-config test-clock service help" -f -a "simulate" -d 'Run the real program in a simulated world, in virtual time, and print how well it did'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand help; and not __fish_seen_subcommand_from status watch monitor events demo replay doctor simulate bench check-config test-clock service help" -f -a "bench" -d 'Run it in all worlds that come with it, and compare every figure with what must be reached'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand help; and not __fish_seen_subcommand_from status watch monitor events demo replay doctor simulate bench check-config test-clock service help" -f -a "check-config" -d 'Check a configuration file, and tell everything that is wrong with it'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand help; and not __fish_seen_subcommand_from status watch monitor events demo replay doctor simulate bench check-config test-clock service help" -f -a "test-clock" -d 'Try whether the system clock does as it is told: two seconds of ±50 ppm, then it is as it was (needs root)'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand help; and not __fish_seen_subcommand_from status watch monitor events demo replay doctor simulate bench check-config test-clock service help" -f -a "service" -d 'Install the service, and hand the clock over to it from another time service and back'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand help; and not __fish_seen_subcommand_from status watch monitor events demo replay doctor simulate bench check-config test-clock service help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand help; and __fish_seen_subcommand_from service" -f -a "install" -d 'Write the service\'s files, for systems without the package. What is there and differs is written anew, but not the configuration'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand help; and __fish_seen_subcommand_from service" -f -a "uninstall" -d 'Give the clock back, and remove what install wrote'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand help; and __fish_seen_subcommand_from service" -f -a "status" -d 'Say whether the service is installed, runs, and what is in its way'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand help; and __fish_seen_subcommand_from service" -f -a "takeover" -d 'Stop other services that steer the clock, remember them, and start this one. Nothing is stopped before one of our own NTP servers has answered'
complete -c dantetimesync -n "__fish_dantetimesync_using_subcommand help; and __fish_seen_subcommand_from service" -f -a "release" -d 'Stop this service, and start what was stopped for it'
