"""The connections to one DC, shared by all transfers that go there: who gets the next request, and what an answer means."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Protocol

from telethon import errors
from telethon.tl import TLRequest

from bot_adapter import heap
from bot_adapter.asking import passing_of
from bot_adapter.transfer_lane import Lane, LaneLost, Patience, Unanswered
from bot_adapter.transfer_window import Ceiling, Rotation, Window

Ask = Callable[[TLRequest], Awaitable[Any]]
_BACKOFF_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_LOOK_S: Final = 0.5
_PASSING: Final = (errors.ServerError, errors.TimedOutError, errors.RpcCallFailError)
_ACCOUNT: Final = (errors.UnauthorizedError, errors.AuthKeyDuplicatedError, errors.AuthKeyNotFound)


class Work(Protocol):
    """A transfer, in pieces. Numbers of pieces are its own."""

    @property
    def waiting(self) -> int:
        """Pieces that could be taken now."""
        ...

    def take(self) -> int | None:
        """The next piece to carry, now in hand; None where there is none at the moment."""
        ...

    def put_back(self, piece: int) -> None:
        """PIECE is to be taken again."""
        ...

    async def carry(self, piece: int, ask: Ask) -> None:
        """Carries PIECE with what ASK answers. What it raises is judged by the pool."""
        ...

    def refused(self, piece: int, error: errors.RPCError) -> bool:
        """Telegram said ERROR: whether the work knows what to do about it (a reference to renew, another DC)."""
        ...

    def fail(self, error: Exception) -> None:
        """No new try will help."""
        ...


class Pool:
    """Serves works in turns, as many requests at once as the window allows.

    DIAL makes a connection. RENEW is asked when Telegram refuses the authorization there, and says whether the next
    connection will have another one.
    """

    def __init__(
        self,
        dial: Callable[[], Awaitable[Lane]],
        renew: Callable[[], bool],
        ceiling: Ceiling,
        patience: Patience,
    ) -> None:
        self._dial = dial
        self._renew = renew
        self._patience = patience
        self._window = Window(ceiling)
        self._works: Rotation[Work] = Rotation()
        self._lanes: list[Lane] = []
        self._dialing = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._troubles = 0  # in a row
        self._retry_at = 0.0
        self._error = ""
        self._loop = asyncio.get_running_loop()
        self._looker = self._loop.create_task(self._look())
        self._looker.add_done_callback(self._ended)

    @property
    def words(self) -> str:
        """What holds transfers up here, empty where nothing does."""
        if not self._works:
            return ""
        if wait := self._window.pause_s(self._loop.time()):
            return f"Telegram asks to wait {wait:.0f} s"
        return self._error

    def add(self, work: Work) -> None:
        """Serves WORK from now on."""
        heap.keep()
        self._works.add(work)
        self.pump()

    def remove(self, work: Work) -> None:
        """Serves it no more; what is on its way for it is thrown away."""
        self._works.remove(work)

    async def close(self) -> None:
        """Ends everything."""
        self._looker.cancel()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(self._looker, *tasks, return_exceptions=True)
        for lane in self._lanes:
            await lane.close()

    # ---- What is asked next

    def pump(self) -> None:
        """Asks for as much as may be asked for now."""
        self._lanes = [lane for lane in self._lanes if lane.is_open]
        now = self._loop.time()
        if self._window.pause_s(now) or now < self._retry_at:
            return
        self._widen()
        while (lane := self._free_lane()) and (found := self._next_piece()):
            lane.load += 1
            self._start(self._carry(lane, *found))

    def _free_lane(self) -> Lane | None:
        lane = min(self._lanes, key=lambda lane: lane.load, default=None)
        full = lane is None or lane.load >= self._window.depth or self._load() >= self._window.size
        return None if full else lane

    def _load(self) -> int:
        return sum(lane.load for lane in self._lanes)

    def _widen(self) -> None:
        """Opens as many connections as the window wants and there is work for."""
        work = self._load() + sum(one.waiting for one in self._works)
        for _ in range(min(self._window.lanes, work) - len(self._lanes) - self._dialing):
            self._dialing += 1
            self._start(self._open())

    def _next_piece(self) -> tuple[Work, int] | None:
        for work in self._works.turn():
            piece = work.take()
            if piece is not None:
                return work, piece
        return None

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._fail_all(error if isinstance(error, Exception) else RuntimeError(str(error)))

    def _fail_all(self, error: Exception) -> None:
        for work in self._works:
            self._works.remove(work)
            work.fail(error)

    # ---- What becomes of it

    async def _open(self) -> None:
        try:
            lane = await self._dial()
            self._lanes.append(lane)
        except (OSError, TimeoutError, *_PASSING) as error:
            self._trouble(f"no connection for files ({error or type(error).__name__})")
        except errors.FloodError as error:
            self._window.flooded(getattr(error, "seconds", 1), self._loop.time())
        except (errors.BadRequestError, errors.NotFoundError) as error:
            # Neither the connection nor the account, but how it was opened; Telegram has troubles, or another way is tried.
            self._trouble(f"no connection for files ({error})")
        except (errors.RPCError, errors.AuthKeyNotFound) as error:
            if not self._another_key(error):
                self._fail_all(error)
        finally:
            self._dialing -= 1
        self.pump()

    async def _carry(self, lane: Lane, work: Work, piece: int) -> None:
        try:
            await work.carry(piece, lane.ask)
        except (LaneLost, Unanswered):
            work.put_back(piece)
            if not lane.answers:
                self._trouble("connections for files end before they bring anything")
        except (errors.RPCError, errors.AuthKeyNotFound) as error:
            self._refused(lane, work, piece, error)
        except Exception as error:  # noqa: BLE001 - a full disk, or a bug: that transfer's alone
            self._works.remove(work)
            work.fail(error)
        else:
            self._fine()
            self._window.answered(self._load() - 1)
        finally:
            lane.load -= 1
        self.pump()

    def _refused(self, lane: Lane, work: Work, piece: int, error: Exception) -> None:
        passing = passing_of(error) if isinstance(error, errors.RPCError) else None
        if passing is not None and passing.wait_s:
            self._window.flooded(passing.wait_s, self._loop.time())
            work.put_back(piece)
        elif passing is not None:
            self._trouble(str(passing))
            work.put_back(piece)
        elif isinstance(error, _ACCOUNT):
            work.put_back(piece)
            if lane in self._lanes and not self._another_key(error):
                self._fail_all(error)
        elif isinstance(error, errors.RPCError) and work.refused(piece, error):
            work.put_back(piece)
        else:
            self._works.remove(work)
            work.fail(error)

    def _another_key(self, error: Exception) -> bool:
        """Whether ERROR is over with another authorization; the connections with this one are given up then."""
        if not isinstance(error, _ACCOUNT) or not self._renew():
            return False
        for lane in self._lanes:
            self._start(lane.close())
        self._lanes.clear()
        self._trouble("Telegram wants a new authorization for files")
        return True

    def _fine(self) -> None:
        self._troubles, self._retry_at, self._error = 0, 0.0, ""

    def _trouble(self, words: str) -> None:
        now = self._loop.time()
        if now >= self._retry_at:
            self._retry_at = now + _BACKOFF_S[min(self._troubles, len(_BACKOFF_S) - 1)]
            self._troubles += 1
        self._error = words

    # ---- Time

    async def _look(self) -> None:
        """Looks for what only time shows: lost answers, ended pauses, idle connections."""
        while True:
            await asyncio.sleep(_LOOK_S)
            now = self._loop.time()
            busy = bool(self._lanes)
            for lane in list(self._lanes):
                await lane.look(self._patience, now)
                if not lane.load and now - lane.idle_since > self._patience.idle_s:
                    await lane.close()
            self.pump()
            if busy and not self._lanes:
                heap.give_back()
