"""Quotas of servers: how many calls and tokens a minute, and how many calls at once."""

from tenire.concurrency.quotas.grant import Grant
from tenire.concurrency.quotas.permit import QuotaPermit
from tenire.concurrency.quotas.quota import Quota
from tenire.concurrency.quotas.sharing import QuotaSharing
from tenire.concurrency.quotas.statistics import MetricStatistics, QuotaStatistics

__all__ = ["Grant", "MetricStatistics", "Quota", "QuotaPermit", "QuotaSharing", "QuotaStatistics"]
