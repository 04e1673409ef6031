"""All use cases over one database, made once by the composition root."""

from __future__ import annotations

from dataclasses import dataclass

from fleet_server.services.accounts import AccountService
from fleet_server.services.admission import AdmissionService
from fleet_server.services.benchmarks import BenchmarkService
from fleet_server.services.checkin import CheckInService
from fleet_server.services.clock_steps import ClockStepService
from fleet_server.services.config import Settings
from fleet_server.services.confirming import ConfirmationService, InstalledService
from fleet_server.services.deltas import DeltaService
from fleet_server.services.diagnoses import DiagnosisService
from fleet_server.services.downloads import DownloadService
from fleet_server.services.drift import DriftService
from fleet_server.services.enrolment import EnrolmentService
from fleet_server.services.events import EventService
from fleet_server.services.experiments import ExperimentService
from fleet_server.services.feedback import FeedbackService
from fleet_server.services.field import FieldService
from fleet_server.services.fleet import FleetService
from fleet_server.services.fleet_plan import PlanCache
from fleet_server.services.freeze import FreezeService
from fleet_server.services.garbage import GarbageService
from fleet_server.services.inspection import InspectionService
from fleet_server.services.parameters import ParametersService
from fleet_server.services.ports.database import Database
from fleet_server.services.ports.files import Blobs, DeltaFiles
from fleet_server.services.precondition import ConditionalDatabase
from fleet_server.services.publish import PublishService
from fleet_server.services.rollouts import RolloutService
from fleet_server.services.sampling import EvidenceTimes
from fleet_server.services.telemetry import TelemetryService
from fleet_server.services.trust import TrustService
from fleet_server.services.webhooks import Poster, WebhookService


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What the API and the scheduler call."""

    database: Database
    clock_steps: ClockStepService
    blobs: Blobs
    deltas: DeltaService
    trust: TrustService
    accounts: AccountService
    enrolment: EnrolmentService
    admission: AdmissionService
    inspection: InspectionService
    freeze: FreezeService
    drift: DriftService
    experiments: ExperimentService
    field: FieldService
    events: EventService
    webhooks: WebhookService
    fleet: FleetService
    publish: PublishService
    checkin: CheckInService
    feedback: FeedbackService
    confirming: ConfirmationService
    installed: InstalledService
    telemetry: TelemetryService
    rollouts: RolloutService
    benchmarks: BenchmarkService
    diagnoses: DiagnosisService
    garbage: GarbageService
    downloads: DownloadService
    parameters: ParametersService


def make_services(
    database: Database,
    blobs: Blobs,
    trust: TrustService,
    settings: Settings,
    *,
    deltas: DeltaFiles,
    poster: Poster,
) -> Services:
    """Put the use cases together; reads and writes nothing."""
    database = ConditionalDatabase(database)
    plans = PlanCache()
    times = EvidenceTimes(
        baseline_s=settings.baseline_s,
        interval_s=max(settings.poll_interval_s, settings.least_interval_s),
    )
    return Services(
        database=database,
        clock_steps=ClockStepService(database, patience=times.patience),
        blobs=blobs,
        deltas=DeltaService(blobs, deltas),
        trust=trust,
        accounts=AccountService(database),
        enrolment=EnrolmentService(database, trust),
        admission=AdmissionService(database),
        inspection=InspectionService(
            database, plans, blobs, patience_s=times.patience.total_seconds()
        ),
        freeze=FreezeService(database),
        experiments=ExperimentService(database, plans, times),
        drift=DriftService(database, plans, EventService(database)),
        field=FieldService(database, plans, kept_days=settings.windows_kept_days),
        events=EventService(database),
        webhooks=WebhookService(database, poster),
        fleet=FleetService(database, plans),
        publish=PublishService(database, trust, blobs),
        checkin=CheckInService(database, plans, poll_interval_s=settings.poll_interval_s),
        feedback=FeedbackService(database),
        confirming=ConfirmationService(database),
        installed=InstalledService(database, plans),
        telemetry=TelemetryService(database, kept_days=settings.windows_kept_days),
        rollouts=RolloutService(database, plans, times),
        benchmarks=BenchmarkService(database, plans),
        diagnoses=DiagnosisService(database, poll_interval_s=settings.poll_interval_s),
        garbage=GarbageService(database, blobs, deltas),
        downloads=DownloadService(database, per_site=settings.limits.downloads_per_site),
        parameters=ParametersService(database, blobs),
    )
