"""A real kernel without a page: run code in it, interrupt it, kill it."""

import os
import queue
import signal
import time
from types import TracebackType
from typing import Any, Self

from jupyter_client.manager import KernelManager


class KernelError(AssertionError):
    """Code that was run in the kernel ended with an error."""


class RealKernel:
    """One kernel process, started anew after each kill."""

    def __init__(self, preamble: str) -> None:
        self._preamble = preamble
        self._manager: Any = KernelManager(kernel_name="python3")
        self._client: Any = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)

    def start(self) -> None:
        """Start a process and run the preamble in it."""
        self._manager.start_kernel(env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})
        self._client = self._manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=90)
        self.run(self._preamble)

    def kill(self) -> None:
        """SIGKILL: the process has no time for anything."""
        self._manager.signal_kernel(signal.SIGKILL)
        while self._manager.is_alive():
            time.sleep(0.01)
        self._client.stop_channels()
        self._manager.cleanup_resources(restart=True)

    def interrupt(self) -> None:
        """The stop button."""
        self._manager.interrupt_kernel()

    def send(self, code: str) -> str:
        """Begin to run code."""
        return str(self._client.execute(code))

    def run(self, code: str, timeout: float = 120) -> str:
        """Run code to its end; what it prints."""
        return self.wait(self.send(code), timeout)

    def wait(self, message: str, timeout: float = 120, *, failing: bool = False) -> str:
        """Wait for code to end; what it printed, or with ``failing`` the error that it ended with."""
        deadline, printed, ended = time.monotonic() + timeout, "", ""
        while time.monotonic() < deadline:
            try:
                said = self._client.get_iopub_msg(timeout=1)
            except queue.Empty:
                continue
            content = said["content"]
            if said["parent_header"].get("msg_id") != message:
                continue
            if said["msg_type"] == "stream":
                printed += content["text"]
            elif said["msg_type"] == "error":
                ended = f"{content['ename']}: {content['evalue']}\n" + "\n".join(content["traceback"])
            elif said["msg_type"] == "status" and content["execution_state"] == "idle":
                if ended and not failing:
                    raise KernelError(ended)
                return ended if failing else printed.strip()
        raise TimeoutError(f"the kernel did not end {message} within {timeout} s")
