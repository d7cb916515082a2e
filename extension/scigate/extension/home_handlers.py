"""Requests in which the files of this server and the hub's gateway meet."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import Future
from time import time as now
from typing import TYPE_CHECKING, Any, Final, cast

from scigate.gateway_api.client import GatewayError, InvalidArgument, RequestRefused
from scigate.gateway_api.client.arguments import transfer_request

from .forward import ForwardHandler
from .headers import API
from .home import Home
from .home_jobs import Job
from .home_paths import local_path, to_send
from .home_records import Kind, Promise
from .home_routes import STORAGE, Whose, is_home, whose_change, whose_submission
from .home_view import as_transfer
from .problem import Refusal, too_large
from .upstream import ask_json

if TYPE_CHECKING:
    from scigate.gateway_api.resources import TransferRequest

LARGEST: Final = 16 << 20  # bytes of a request that is looked at
FETCH_OVERWRITES: Final = ("fail", "overwrite")


class HomeHandler(ForwardHandler):
    """Any request; it goes to the small gateway where it is about the files of this server."""

    @property
    def home(self) -> Home:
        return cast(Home, self.extension.home_beside)

    async def begin(self) -> None:
        door = await self.home.door_for(self.request.method or "", self.target(), dict(self.request.headers))
        self.note_use()
        self.start(door)


class StoragesHandler(HomeHandler):
    """``GET storages``: those of the gateway, and ``home``."""

    async def begin(self) -> None:
        if self.request.method != "GET":
            await super().begin()

    async def get(self) -> None:
        self.raise_refusal()
        (status, page), home = await asyncio.gather(
            ask_json(self.extension.connections, self.home.service, "GET", self.target()), self.home.storage()
        )
        if status != 200:
            return self.tell(status, page, "application/problem+json")
        others = [storage for storage in page["items"] if storage["name"] != STORAGE]
        return self.tell(200, {**page, "items": [*others, home]})

    def tell(self, status: int, body: Any, media_type: str = "application/json") -> None:
        self.set_status(status)
        self.set_header("Content-Type", media_type)
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(body))


class LookedAtHandler(StoragesHandler):
    """A POST whose body says whom it is for; everything else as ever."""

    async def begin(self) -> None:
        if self.request.method != "POST":
            return await HomeHandler.begin(self)
        if self.content_length() > LARGEST:
            raise too_large(LARGEST)
        self.note_use()
        self._body = bytearray()
        return None

    async def data_received(self, chunk: bytes) -> None:
        if self.request.method != "POST" or self.refused:
            return await super().data_received(chunk)
        self._body += chunk
        if len(self._body) > LARGEST:  # only a chunked body comes here
            self.refused, self._body = too_large(LARGEST), bytearray()
            await self.answer_early()
        return None

    async def post(self) -> None:
        self.raise_refusal()
        await self.decide(await asyncio.to_thread(_parsed, self._body))

    async def decide(self, request: Any) -> None:
        await self.pass_on(whose_change(request))

    async def pass_on(self, whose: Whose) -> None:
        self.start(self.home.door if whose is Whose.HOME else self.home.service)
        assert self.exchange is not None
        await self.exchange.take(bytes(self._body))
        await self.dispatch()

    get = head = put = patch = delete = options = ForwardHandler.dispatch


class SubmitHandler(LookedAtHandler):
    """``POST transfers``: with ends at ``home:`` it is carried out here."""

    async def decide(self, request: Any) -> None:
        whose = whose_submission(request)
        if whose is not Whose.JOB:
            return await self.pass_on(whose)
        promise, refused = await asyncio.to_thread(self._promise, request)
        job = await asyncio.to_thread(self.home.jobs.accept, promise)
        transfer = await self._transfer(job)
        answer = {"transfer": transfer, "replayed": job.promise is not promise}
        self.set_header("Location", f"{self.prefix()}{API}/transfers/{transfer['id']}")
        return self.tell(202, answer | ({"refused": refused} if refused else {}))

    def _promise(self, given: Any) -> tuple[Promise, dict[str, str]]:
        """What is asked for, looked at closely, in a thread: it reads folders."""
        refused: dict[str, str] = {}
        try:
            asked = transfer_request(**given)
            pairs = [(one.source, one.destination) for one in asked.files]
            kind: Kind = "send" if is_home(pairs[0][0]) else "fetch"
            _check_wishes(asked, kind)
            if kind == "send":
                pairs = to_send(self.home.root, pairs, refused, hidden=self.home.hidden)
            for _, destination in pairs if kind == "fetch" else ():
                local_path(self.home.root, destination, hidden=self.home.hidden)
        except (GatewayError, TypeError) as error:  # TypeError: a member has the name of an argument
            raise as_refusal(
                error if isinstance(error, GatewayError) else InvalidArgument("It is no transfer.")
            ) from None
        key = self.request.headers.get("Idempotency-Key")
        times = {name: time.isoformat() for name in ("not_before", "deadline") if (time := getattr(asked, name))}
        return Promise(kind, pairs, str(asked.overwrite), asked.label, key, now(), **times), refused

    async def _transfer(self, job: Job) -> dict[str, Any]:
        """As it is now: of the gateway where it has one."""
        if job.promise.kind == "fetch":
            return as_transfer(job.promise, job.progress, self.extension.user)
        id = await self._begun(job)
        status, transfer = await ask_json(self.extension.connections, self.home.service, "GET", f"{API}/transfers/{id}")
        if status != 200:
            raise Refusal(502, "gateway-failed", f"The gateway answers with status {status} to its own transfer {id}.",
                          next_step="Look at your transfers; the files are being sent.")  # fmt: skip
        return cast(dict[str, Any], transfer)

    async def _begun(self, job: Job) -> str:
        begun: Future[str] = job.begun
        try:
            return await asyncio.shield(asyncio.wrap_future(begun))
        except (GatewayError, OSError) as error:
            await asyncio.to_thread(self.home.jobs.forget, job)
            raise as_refusal(error) from None


class JobHandler(StoragesHandler):
    """``transfers/home-…``: look at a fetch, cancel it, try its failed files again."""

    async def begin(self) -> None:
        self.note_use()
        words = self.target().partition("?")[0].removeprefix(f"{API}/transfers/").split("/")
        self._job, self._wish = self.home.jobs.all.get(words[0]), "/".join(words[1:])
        if self._job is None or self._job.promise.kind != "fetch":
            raise Refusal(404, "not-found", f"There is no transfer {words[0]!r}.",
                          next_step="GET transfers shows those that you can see.")  # fmt: skip

    async def get(self) -> None:
        self.raise_refusal()
        assert self._job is not None
        if self._wish == "":
            return self.tell(200, as_transfer(self._job.promise, self._job.progress, self.extension.user))
        if self._wish in ("files", "events"):
            return self.tell(200, {"items": [], "next": None})
        raise _not_so(self._wish)

    async def post(self) -> None:
        self.raise_refusal()
        assert self._job is not None
        job, jobs = self._job, self.home.jobs
        if self._wish == "cancel":
            await asyncio.to_thread(jobs.cancel, job)
        elif self._wish == "retry":
            job = await asyncio.to_thread(jobs.again, job)
        else:
            raise _not_so(self._wish)
        self.tell(202, as_transfer(job.promise, job.progress, self.extension.user))

    async def dispatch(self) -> None:
        self.raise_refusal()
        raise _not_so(self.request.method or "")

    head = put = patch = delete = options = dispatch


def _parsed(body: bytearray) -> Any:
    """JSON; None if it is none, and then the gateway says what is wrong with it."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def as_refusal(error: Exception) -> Refusal:
    """What the client of the gateway raises, as an answer."""
    if isinstance(error, RequestRefused):
        status = 502 if error.status == 401 else error.status
        return Refusal(status, error.code or "refused", error.title, detail=error.message, next_step=error.next_step,
                       retriable=error.retriable)  # fmt: skip
    if isinstance(error, GatewayError):
        known = {"GatewayUnreachable": (502, "gateway-unreachable"), "NotConfigured": (503, "not-configured")}
        status, code = known.get(type(error).__name__, (422, "invalid-request"))
        return Refusal(status, code, error.message, next_step=error.next_step or "Correct it and try again.")
    return Refusal(500, "local-file", str(error), next_step="Look at the disk of this server.")


def _check_wishes(asked: TransferRequest, kind: Kind) -> None:
    """Refuse what we would have to leave undone."""
    if asked.verify != "auto" or asked.priority != 5:
        raise Refusal(422, "unsupported", "Of a transfer of this server's files verify and priority cannot be chosen.",
                      next_step="Leave them out.")  # fmt: skip
    if kind == "fetch" and asked.overwrite not in FETCH_OVERWRITES:
        raise Refusal(422, "unsupported", f"To the files of this server overwrite cannot be {str(asked.overwrite)!r}.",
                      next_step="Choose 'fail' or 'overwrite'.")  # fmt: skip
    if kind == "fetch" and (asked.not_before or asked.deadline):
        raise Refusal(422, "unsupported", "To the files of this server is fetched at once, and tried for a day.",
                      next_step="Leave not_before and deadline out.")  # fmt: skip


def _not_so(what: str) -> Refusal:
    return Refusal(409, "not-possible", f"{what!r} is not possible for a transfer to this server's files.",
                   next_step="It can be looked at, cancelled and tried again.")  # fmt: skip
