"""Composition root of the server: binds ports to adapters, owns the clock, runs uvicorn."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from edgekit import log
from edgekit.durable import write_durably
from edgekit.errors import ConflictError, EdgeKitError, PortInUseError, StorageError, UsageError
from fleet_server.api.app import make_app
from fleet_server.api.board import Board
from fleet_server.api.context import Context
from fleet_server.api.overload import take_all_files
from fleet_server.api.patience import PatientProtocol
from fleet_server.domain.access import Role
from fleet_server.membership import found, is_member, open_trust
from fleet_server.scheduler import Scheduler
from fleet_server.services.accounts import FIRST_ADMIN, AccountService
from fleet_server.services.assembly import Services, make_services
from fleet_server.services.clock import ServerClock
from fleet_server.services.config import ServerConfig, Settings
from fleet_server.services.ports.files import Blobs
from fleet_server.store.blobs import FolderBlobs
from fleet_server.store.database import SqlDatabase
from fleet_server.store.deltas import FolderDeltas
from fleet_server.store.objects import S3Blobs
from fleet_server.store.posting import HttpPoster
from fleet_server.store.turns import turn_of

logger = logging.getLogger(__name__)

_FLUSH_S = 1.0
_GRACE_S = 5
_BACKLOG = 65_535
"""Connections that wait to be accepted; Linux cuts it to net.core.somaxconn."""
_GC = (20_000, 50, 100)
"""Fewer collections: answers kept for many devices are long-lived, and each full one walks them."""
_IN_USE = {errno.EADDRINUSE}


def utc_now() -> datetime:
    """Return the machine's date; while it serves the server has a time of its own."""
    return datetime.now(UTC)  # noqa: TID251 (the composition root owns the clock)


@dataclass(frozen=True, slots=True, kw_only=True)
class Initialised:
    """What `server init` made."""

    data: Path
    admin_token: Path


def initialise(config: ServerConfig) -> Initialised:
    """Make a server's folder: database, online keys, and the first administrator's token.

    Raises:
        ConflictError: There is a server in the folder or in the database already.
        StorageError: The folder cannot be written.
    """
    if config.admin_token.exists():
        raise ConflictError("there is a server already", where=str(config.data))
    try:
        config.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        config.data.chmod(0o700)
    except OSError as error:
        raise StorageError(f"cannot be made ({error.strerror})", where=str(config.data)) from error
    open_blobs(config)
    database = SqlDatabase.open(config.database_url)
    try:
        database.migrate()
        found(config, database)
        accounts, now = AccountService(database), utc_now()
        accounts.add(FIRST_ADMIN, Role.ADMIN, now=now)
        token, _ = accounts.new_token(FIRST_ADMIN, Role.ADMIN, life=None, note="first", now=now)
    finally:
        database.close()
    write_token(config, token)
    return Initialised(data=config.data, admin_token=config.admin_token)


def write_token(config: ServerConfig, token: str) -> None:
    """Write the first administrator's token where `server init` says that it is."""
    write_durably(config.admin_token, f"{token}\n".encode(), mode=0o600)


def steady_s() -> float:
    """Return seconds of a clock that never steps, those of a sleeping machine counted."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def create_app(config: ServerConfig) -> ASGIApp:
    """Return the application over an initialised folder; the database is brought up to date.

    Raises:
        UsageError: The folder is part of no server.
        TrustError: Its secret is another server's.
        StorageError: The database cannot be opened.
    """
    if not is_member(config):
        raise UsageError(
            "there is no server in this folder",
            where=str(config.data),
            todo=f"run: edgekit server init {config.data}",
        )
    database = SqlDatabase.open(config.database_url)
    with ExitStack() as unless_served:
        unless_served.callback(database.close)
        database.migrate()
        services = make_services(
            database,
            open_blobs(config),
            open_trust(config, database),
            config.settings,
            deltas=FolderDeltas(config.blobs / "deltas"),
            poster=HttpPoster(),
        )
        clock = _open_clock(services, config.settings)
        unless_served.pop_all()
    board = Board(database, seen_every_s=config.settings.poll_interval_s / 10)
    turn = turn_of(database, config.data)
    scheduler = Scheduler(services, turn, tick_s=config.settings.tick_s, clock=clock.now)
    context = Context(
        services=services,
        board=board,
        settings=config.settings,
        clock=clock.now,
        leads=lambda: scheduler.leads,
        clock_ahead=lambda: clock.ahead,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:  # noqa: ARG001 (signature of FastAPI)
        await asyncio.to_thread(board.refresh)
        await _flush_one("clock", lambda: services.clock_steps.watch(clock))
        work = (scheduler.run(), _flush(board, services, clock))
        tasks = [asyncio.create_task(one) for one in work]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            await asyncio.to_thread(services.fleet.seen, board.take_seen(last=True))
            database.close()

    return make_app(context, lifespan=lifespan)


def _open_clock(services: Services, settings: Settings) -> ServerClock:
    seen_at, settle_s = services.clock_steps.seen_at(), settings.clock_settle_s
    return ServerClock(utc_now, steady_s, seen_at=seen_at, settle_s=settle_s)


def open_blobs(config: ServerConfig) -> Blobs:
    """Return where bundles are kept: the server's folder, or a bucket.

    Raises:
        StorageError: The folder cannot be made.
        UsageError: The bucket's address is none.
    """
    settings = config.settings
    if not settings.blobs:
        return FolderBlobs(config.blobs)
    return S3Blobs(settings.blobs, config.blobs, endpoint=settings.blobs_endpoint)


def run(config: ServerConfig) -> None:
    """Serve until SIGTERM or SIGINT; requests that began are answered.

    Raises:
        PortInUseError: Another process listens there; nothing was changed.
        UsageError: The folder holds no server.
    """
    settings = config.settings
    log.set_up(level=settings.log_level, as_json=settings.log_json)
    gc.set_threshold(*_GC)
    _check_certificate(settings)
    listener = listen(settings.host, settings.port)
    files = take_all_files()
    try:
        app = create_app(config)
        host, port = listener.getsockname()[:2]
        scheme = "https" if settings.tls_cert else "http"
        fields = {"address": f"{scheme}://{host}:{port}", "data": config.data, "files": files}
        logger.info("server listens", extra={"fields": fields})
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=PatientProtocol,
                loop="uvloop",
                backlog=_BACKLOG,
                access_log=False,
                log_config=None,
                log_level="warning",
                server_header=False,
                timeout_graceful_shutdown=_GRACE_S,
                proxy_headers=False,
                lifespan="on",
                ssl_certfile=settings.tls_cert or None,
                ssl_keyfile=settings.tls_key or None,
            )
        )
        server.run(sockets=[listener])
    finally:
        listener.close()


def _check_certificate(settings: Settings) -> None:
    """Read certificate and key once before anything is touched.

    Raises:
        UsageError: They cannot be read, or do not belong together.
    """
    if settings.tls_cert:
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(settings.tls_cert, settings.tls_key)
        except OSError as error:
            reason = error.strerror or error
            raise UsageError(
                f"cannot be used for TLS ({reason})", where=settings.tls_cert
            ) from error


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket, before anything else is touched.

    Raises:
        PortInUseError: Another process listens there.
        UsageError: There is no such address here.
    """
    where = f"{host}:{port}"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if isinstance(error, socket.gaierror) or error.errno not in _IN_USE:
            raise UsageError(f"cannot listen ({error.strerror})", where=where) from error
        raise PortInUseError(
            "another process listens there", where=where, todo="stop it, or choose another --port"
        ) from error
    return listener


async def _flush(board: Board, services: Services, clock: ServerClock) -> None:
    """Every second: read what other processes changed, store who polled, look at the clock.

    Each on its own: where nothing can be written, what was revoked elsewhere is still noticed.
    """
    while True:
        await asyncio.sleep(_FLUSH_S)
        await _flush_one("changes", board.refresh)
        await _flush_one("polls", lambda: services.fleet.seen(board.take_seen()))
        await _flush_one("clock", lambda: services.clock_steps.watch(clock))


async def _flush_one(what: str, work: Callable[[], None]) -> None:
    try:
        await asyncio.to_thread(work)
    except EdgeKitError as error:
        fields = {"what": what, "error": str(error)}
        logger.error("flush failed", extra={"fields": fields})  # noqa: TRY400 (one clear line)
