"""A shim from its beginning to its end: lock, look, run, and be gone with all that was started."""

import os
import signal
from collections.abc import Callable, Mapping
from typing import Any

from mantlet.ops.shim.lock import default_folder, hold
from mantlet.ops.shim.log import Log
from mantlet.ops.shim.once import Action, ask
from mantlet.ops.shim.plan import UNHEALTHY, Plan, ShimFailed, is_well, shown
from mantlet.ops.shim.process import Process, exit_of
from mantlet.ops.shim.relay import Relay


def run(
    plan: Plan,
    *,
    action: Action | None = None,
    tool: str = "",
    arguments: Mapping[str, Any] | None = None,
    timeout_s: float = 60.0,
    answer: Callable[[dict[str, Any]], None] = lambda _: None,
) -> int:
    """Serve stdin and stdout, or with `action` ask one question and give its result to `answer`; the exit code.

    Raises `ShimFailed` when the lock cannot be had, nothing is well, or the question has no answer.
    """
    if action is not None and action not in plan.allow:
        raise ShimFailed(f"{action} is not allowed here; allowed are {', '.join(sorted(plan.allow))}")
    log = Log(plan.name)
    lock = hold(plan.name, plan.lock_folder or default_folder(), plan.lock_timeout_s)
    try:
        log.event("shim.locked", pid=os.getpid())
        command = choose(plan, log)
        process = Process(command, lock)
        log.event("shim.started", program=shown(command))
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda _number, _frame: _leave(process, plan, log))
        try:
            if action is None:
                code = Relay(plan, process, log).run()
            else:
                answer(ask(process, action, timeout_s, tool, arguments or {}))
                process.end(plan.stop_timeout_s)
                code = 0
        except BaseException:
            process.end(plan.stop_timeout_s)
            raise
        log.event("shim.ended", exit_code=code)
        return code
    finally:
        os.close(lock)


def choose(plan: Plan, log: Log) -> tuple[str, ...]:
    """The command to run: the first when it is well, else the one to fall back to. Raises `ShimFailed`."""
    if not plan.look:
        return plan.primary
    exit_code, said = exit_of(plan.look, plan.health_timeout_s)
    if is_well(plan, exit_code, said):
        log.event("shim.healthy")
        return plan.primary
    what = f"the container {plan.container}" if plan.container and not plan.health else "the health command"
    log.event("shim.unhealthy", exit_code=exit_code, said=said.strip()[:200])
    if not plan.fallback:
        raise ShimFailed(f"{what} is not well (exit code {exit_code}), and there is no --fallback", UNHEALTHY)
    log.event("shim.fallback", program=shown(plan.fallback))
    return plan.fallback


def _leave(process: Process, plan: Plan, log: Log) -> None:
    code = process.end(plan.stop_timeout_s)
    log.event("shim.ended", exit_code=code, signalled=True)
    os._exit(code if code else 0)
