"""Chromium, driven by chromedriver's HTTP protocol (W3C WebDriver)."""

import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHROMEDRIVER = shutil.which("chromedriver")
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--disable-quic", "--disable-background-networking", "--disable-component-update"),
    *("--no-first-run", "--disable-sync", "--window-size=1200,900"),
)
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
ENTER, TAB, ESCAPE = "\ue007", "\ue004", "\ue00c"


class Browser:
    """The few commands of WebDriver that the tests need."""

    def __init__(self, port: int, profile: Path) -> None:
        # A proxy of the environment must not see what goes to this machine.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._base = f"http://127.0.0.1:{port}"
        options = {"args": [*FLAGS, f"--user-data-dir={profile}"]}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        answer = self._send("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._base += f"/session/{answer['sessionId']}"

    def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._base + path, data, method=method)
        request.add_header("Content-Type", "application/json")
        try:
            with self._opener.open(request, timeout=30) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)["value"]["message"]) from None

    def open(self, path: Path, fragment: str = "") -> None:
        if fragment:  # the same address with another fragment would be no new page
            self._send("POST", "/url", {"url": "about:blank"})
        # Where another test has left it, the mouse would hover over something of this page.
        self.cdp("Input.dispatchMouseEvent", type="mouseMoved", x=0, y=0)
        address = path.resolve().as_uri()
        self._send("POST", "/url", {"url": address + fragment})
        # On a busy machine the driver may answer before the page's scripts have run.
        self.until(
            "return location.href.startsWith(arguments[0]) && document.readyState === 'complete'",
            address,
        )

    def js(self, script: str, *args: Any) -> Any:
        """Run a function body in the page and return what it returns."""
        return self._send("POST", "/execute/sync", {"script": script, "args": list(args)})

    def until(self, script: str, *args: Any) -> Any:
        """Run a function body until what it returns is true."""
        end = time.monotonic() + 20
        while not (value := self.js(script, *args)):
            assert time.monotonic() < end, f"never true: {script}"
            time.sleep(0.02)
        return value

    def becomes(self, script: str, wanted: Any) -> None:
        """Wait until a function body returns this: a link's page comes a moment after its address."""
        end = time.monotonic() + 20
        while (value := self.js(script)) != wanted:
            assert time.monotonic() < end, f"{value} is not {wanted}"
            time.sleep(0.02)

    def find(self, selector: str) -> str:
        found = self._send("POST", "/element", {"using": "css selector", "value": selector})
        return str(found[ELEMENT])

    def click(self, selector: str) -> None:
        """Click as a person does: it fails where something else lies on top."""
        self._send("POST", f"/element/{self.find(selector)}/click", {})

    def type(self, selector: str, text: str) -> None:
        self._send("POST", f"/element/{self.find(selector)}/value", {"text": text})

    def press(self, key: str) -> None:
        """Press a key wherever the focus is."""
        actions = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        keyboard = {"type": "key", "id": "keyboard", "actions": actions}
        self._send("POST", "/actions", {"actions": [keyboard]})

    def cdp(self, command: str, **params: Any) -> Any:
        return self._send("POST", "/goog/cdp/execute", {"cmd": command, "params": params})

    def log(self) -> list[dict[str, Any]]:
        """Return the console's messages since the last call."""
        entries: list[dict[str, Any]] = self._send("POST", "/se/log", {"type": "browser"})
        return entries

    def quit(self) -> None:
        self._send("DELETE", "")


@contextlib.contextmanager
def started(profile: Path) -> Iterator[Browser]:
    """Start chromedriver on a free port of this machine, and stop it."""
    assert CHROMEDRIVER is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    driver = subprocess.Popen(
        [CHROMEDRIVER, f"--port={port}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert driver.stdout is not None
        said = ""
        while "started successfully" not in said:
            said = driver.stdout.readline()
            assert said, "chromedriver ended before it was ready"
        browser = Browser(port, profile)
        yield browser
        browser.quit()
    finally:
        driver.terminate()
        driver.wait(10)
