"""Hosts that only count visitors and show advertisements: pages are read without them.

A short list of those that are on most pages. It is no blocker of advertisements: what it
saves is time, and visits that nobody made.
"""

from __future__ import annotations

__all__ = ["is_tracker"]

_LIST = """
    2mdn.net adform.net adnxs.com adroll.com adsafeprotected.com adsrvr.org amazon-adsystem.com amplitude.com
    analytics.google.com app-measurement.com bat.bing.com bluekai.com branch.io casalemedia.com chartbeat.com
    chartbeat.net clarity.ms connect.facebook.net crazyegg.com criteo.com criteo.net demdex.net doubleclick.net
    everesttech.net fullstory.com google-analytics.com googleadservices.com googlesyndication.com
    googletagmanager.com googletagservices.com heap.io heapanalytics.com hotjar.com hotjar.io hs-analytics.net
    hs-scripts.com imrworldwide.com intercom.io kissmetrics.com krxd.net luckyorange.com matomo.cloud mathtag.com
    mixpanel.com moatads.com mouseflow.com mxpnl.com newrelic.com nr-data.net omtrdc.net openx.net optimizely.com
    outbrain.com parsely.com pardot.com pixel.wp.com plausible.io pubmatic.com quantserve.com quantcount.com
    rlcdn.com rubiconproject.com scorecardresearch.com segment.com segment.io sentry-cdn.com smartadserver.com
    snap.licdn.com statcounter.com stats.wp.com taboola.com tealiumiq.com tiqcdn.com tr.snapchat.com
    analytics.tiktok.com ads-twitter.com analytics.twitter.com yandex-metrica.com mc.yandex.ru zemanta.com
"""
_TRACKERS = frozenset(_LIST.split())


def is_tracker(host: str) -> bool:
    """Return whether a host, or the domain that it is part of, is on the list."""
    name = host.lower().rstrip(".")
    while name:
        if name in _TRACKERS:
            return True
        _, _, name = name.partition(".")
    return False
