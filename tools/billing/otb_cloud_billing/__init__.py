"""OTB Cloud in OTB Billing: signs the handoff (docs/handoff.md of OTB Cloud), offers the services card, and reports
when a customer is suspended, cancelled or active again. README.md beside this says how it is installed.
"""

from otb_cloud_billing.blueprint import otb_cloud_blueprint
from otb_cloud_billing.reports import ReportFailed, Status, report_status
from otb_cloud_billing.signing import AUDIENCE, ISSUER, LIFE_SECONDS, REPORT_AUDIENCE, HandoffSigner, Person

__all__ = [
    "AUDIENCE",
    "ISSUER",
    "LIFE_SECONDS",
    "REPORT_AUDIENCE",
    "HandoffSigner",
    "Person",
    "ReportFailed",
    "Status",
    "otb_cloud_blueprint",
    "report_status",
]
