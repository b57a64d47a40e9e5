"""How the page about a run looks; its colours keep their contrast in light and in dark."""

from __future__ import annotations

__all__ = ["STYLE"]

STYLE = """
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--ink:#1a2129;--soft:#5c6772;--rule:#e3e7ec;--good:#1a7f4b;
--bad:#b3261e;--fair:#8a5a00;--c0:#2563eb;--c1:#c2410c;--c2:#0f766e;--c3:#7c3aed;--c4:#be185d;--c5:#4d7c0f}
@media(prefers-color-scheme:dark){:root{--bg:#12161b;--card:#1b2128;--ink:#e8edf2;--soft:#9aa7b4;--rule:#2c353f;
--good:#5fd39b;--bad:#ff8a80;--fair:#f2c14e;--c0:#7aa7ff;--c1:#ff9d66;--c2:#4fd1c0;--c3:#b79cff;--c4:#ff8fbe;
--c5:#a8d65c}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:820px;margin:0 auto;padding:32px 20px 48px}
h1{font-size:26px;margin:0 0 16px;letter-spacing:-.01em}
h2{font-size:19px;margin:0 0 14px;overflow-wrap:anywhere}
h3{font-size:14px;margin:22px 0 8px;color:var(--soft);font-weight:600}
p{margin:0 0 10px}
section{background:var(--card);border:1px solid var(--rule);border-radius:14px;padding:22px;margin-top:18px}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(118px,1fr));gap:10px}
.card{background:var(--card);border:1px solid var(--rule);border-radius:12px;padding:12px 14px}
.card b{display:block;font-size:20px;font-variant-numeric:tabular-nums;letter-spacing:-.01em}
.card span{color:var(--soft);font-size:13px}
section .card{background:var(--bg)}
.state{font-size:12px;font-weight:600;border:1px solid currentColor;border-radius:99px;padding:2px 9px;
margin-left:6px;vertical-align:2px}
.good{color:var(--good)}.bad{color:var(--bad)}.fair{color:var(--fair)}
.error{color:var(--bad);overflow-wrap:anywhere}
figure{margin:18px 0 0}
svg{display:block;width:100%;height:auto}
.grid{stroke:var(--rule);stroke-width:1}
.tick{fill:var(--soft);font-size:11px}
.line{fill:none;stroke:var(--c);stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.area{fill:var(--c);opacity:.13}
.c0{--c:var(--c0)}.c1{--c:var(--c1)}.c2{--c:var(--c2)}.c3{--c:var(--c3)}.c4{--c:var(--c4)}.c5{--c:var(--c5)}
figcaption{display:flex;flex-wrap:wrap;gap:6px 16px;color:var(--soft);font-size:13px;padding:4px 12px 0 56px}
.key i{display:inline-block;width:10px;height:10px;border-radius:3px;background:var(--c);margin-right:6px}
.unit{margin-left:auto}
.bar{display:grid;grid-template-columns:minmax(90px,26%) 1fr 170px;gap:12px;align-items:center;padding:4px 0}
.bar .name{overflow-wrap:anywhere}
.track{background:var(--bg);border-radius:6px;height:12px;overflow:hidden}
.fill{display:block;height:100%;background:var(--c0);border-radius:6px;min-width:2px}
.marked .fill{background:var(--c1)}.marked .name{font-weight:600}
.value{text-align:right;color:var(--soft);font-variant-numeric:tabular-nums;font-size:13px}
footer{color:var(--soft);font-size:13px;margin-top:22px;text-align:center}
"""
