"""Takes parameters from the server, hands them to the workers and says what came of them."""

from __future__ import annotations

import logging

from device_agent.context import Context
from device_agent.parameters import FILE, Stored, read_stored, write_stored
from edgekit.errors import EdgeKitError, FormatError, StorageError
from edgekit.jobs import ParametersAnswer, ParametersOrder

logger = logging.getLogger(__name__)
WAIT_S = 2.0
STEP_S = 0.1


def follow_parameters(ctx: Context, url: str) -> None:
    """Fetch what is new, and report what the workers say about it when that changed.

    Raises:
        NetworkError: The server does not answer.
        RefusedError: It refuses.
        FormatError: It answers something else.
    """
    known = ctx.contact
    if url != known.parameters_url:
        orders = ctx.ddi.parameters(url)
        if not _keep(ctx, orders):
            return
        known.parameters_url = url
        known.parameters_told = ()
        _wait_for(ctx, orders)
    told = _answers(ctx)
    if told and told != known.parameters_told:
        ctx.ddi.answer_parameters(url, told)
        known.parameters_told = told


def _keep(ctx: Context, orders: tuple[ParametersOrder, ...]) -> bool:
    """Write what is new for the workers; False when something could not be written."""
    for order in orders:
        wanted = Stored(version=order.version, values=order.values)
        try:
            path = ctx.slots.of(order.model).folder / FILE
            if _held(ctx, order.model) == wanted:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            write_stored(path, wanted)
        except (EdgeKitError, OSError) as error:
            fields = {"model": order.model, "error": str(error)}
            logger.error("parameters wait", extra={"fields": fields})  # noqa: TRY400 (one line)
            if isinstance(error, StorageError | OSError):
                return False
            continue
        ctx.supervisor.reread_parameters(order.model)
        fields = {"model": order.model, "version": str(order.version)}
        logger.info("parameters came", extra={"fields": fields})
    return True


def _held(ctx: Context, model: str) -> Stored | None:
    try:
        return read_stored(ctx.slots.of(model).folder / FILE)
    except FormatError:
        return None


def _wait_for(ctx: Context, orders: tuple[ParametersOrder, ...]) -> None:
    """Wait a moment for the workers, so that this contact can say what came of it already."""
    deadline = ctx.clock() + WAIT_S
    while ctx.clock() < deadline:
        fronts = ctx.supervisor.view()
        wanted = [o for o in orders if o.model in fronts and fronts[o.model].serving]
        if all(fronts[o.model].stats.parameters_version == o.version for o in wanted):
            return
        ctx.wait(STEP_S)


def _answers(ctx: Context) -> tuple[ParametersAnswer, ...]:
    return tuple(
        ParametersAnswer(
            model=model,
            version=front.stats.parameters_version,
            digest=front.digest,
            refused=front.stats.parameters_refused,
        )
        for model, front in sorted(ctx.supervisor.view().items())
        if front.serving and front.stats.parameters_version
    )
