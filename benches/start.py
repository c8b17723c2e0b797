#!/usr/bin/env python3
"""CPU time and page faults of whole processes, started in turns: benches/start.py [ROUNDS [PROGRAM]...]

Beside `true`, each program (target/release/primed) answers `eval 'nth 10'`. As root, put `chrt -f 10` before it: other load then counts little.
"""

import os
import statistics
import sys

rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 200
commands = [["/bin/true"]]
commands += [[program, "eval", "nth 10"] for program in sys.argv[2:] or ["target/release/primed"]]
silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
runs = [[] for _ in commands]
for _ in range(rounds):
    for command, measured in zip(commands, runs):
        process = os.posix_spawn(command[0], command, os.environ, file_actions=silent)
        _, status, usage = os.wait4(process, 0)
        if status != 0:
            sys.exit(f"{command[0]} failed")
        measured.append(((usage.ru_utime + usage.ru_stime) * 1e3, usage.ru_minflt))
for command, measured in zip(commands, runs):
    times = sorted(time for time, _ in measured)
    faults = statistics.median(fault for _, fault in measured)
    print(f"{command[0]}: {statistics.median(times):.3f} ms, a tenth below {times[len(times) // 10]:.3f}, {faults:.0f} faults")
