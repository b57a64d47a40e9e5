"use strict";
// Shows what the event stream says and asks for what a person clicks. Nothing from outside
// ever becomes markup: texts are set as texts. Elements are kept and changed in place, so
// that focus, selection and a screen reader's place survive ten updates a second.

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const LEVELS = ["critical", "high", "normal", "low", "idle"];
const SIGNS = { info: "·", good: "✓", warning: "!", bad: "✕" };
const KINDS = { running: "info", watching: "good", done: "good", paused: "warning", cancelled: "warning", interrupted: "warning", failed: "bad", waiting: "" };
const OVER = ["done", "failed", "cancelled", "interrupted"];
const MOST_EVENTS = 200, MOST_SAMPLES = 300;

const state = { now: null, events: [], quarantine: [], samples: [] };

// -- texts ---------------------------------------------------------------

const count = (number) => new Intl.NumberFormat("en").format(number);
const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 }).format;
const some = (number, one, more) => `${count(number)} ${number === 1 ? one : more ?? one + "s"}`;

function bytes(number) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  while (number >= 999.5 && at < units.length - 1) { number /= 1000; at += 1; }
  return `${at && number < 9.95 ? number.toFixed(1) : Math.round(number)} ${units[at]}`;
}

function duration(seconds) {
  if (seconds < 59.5) return `${seconds < 9.95 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const rounded = seconds < 600 ? Math.round(seconds) : 60 * Math.round(seconds / 60);
  if (rounded < 600) return `${Math.floor(rounded / 60)} min ${rounded % 60} s`;
  if (rounded < 3600) return `${rounded / 60} min`;
  if (rounded < 172800) return `${Math.floor(rounded / 3600)} h ${Math.floor((rounded % 3600) / 60)} min`;
  return some(Math.round(seconds / 86400), "day");
}

const perSecond = (number) => (number >= 100 ? count(Math.round(number)) : number >= 9.95 ? number.toFixed(0) : number.toFixed(1));
const dollars = (number) => `$${number >= 100 ? count(Math.round(number)) : number.toFixed(number < 0.1 && number > 0 ? 4 : 2)}`;
function clock(at) {
  const then = new Date(at * 1000), time = then.toLocaleTimeString("en-GB");
  return then.toDateString() === new Date().toDateString() ? time : `${then.toLocaleDateString("sv")} ${time.slice(0, 5)}`;
}
const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

/** Write out what steers or turns letters round: a name must not look like another one. */
const plain = (text) => text.replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, (found) => `\\u${found.charCodeAt().toString(16).padStart(4, "0")}`);

// -- elements -------------------------------------------------------------

function put(element, text, title) {
  if (element.textContent !== text) element.textContent = text;
  if (title !== undefined && element.title !== title) element.title = title;
}

function make(kind, className, ...children) {
  const element = document.createElement(kind);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

function mood(element, base, kind) {
  const wanted = kind ? `${base} is-${kind}` : base;
  if (element.className !== wanted) element.className = wanted;
}

function button(text, press, className = "") {
  const made = make("button", className, text);
  made.type = "button";
  made.addEventListener("click", press);
  return made;
}

/** Keep one child of `list` for each key, in order; `build` makes one, `fill` brings it up to date. */
function keep(list, keys, build, fill) {
  const known = list.kept ?? (list.kept = new Map());
  for (const [key, element] of known) if (!keys.includes(key)) { element.remove(); known.delete(key); }
  keys.forEach((key, at) => {
    let element = known.get(key);
    if (!element) known.set(key, element = build(key));
    if (list.children[at] !== element) list.insertBefore(element, list.children[at] ?? null);
    fill(element, key);
  });
}

function facts(list, pairs) {
  keep(list, pairs.map(([name]) => name), (name) => {
    const made = make("div", "", make("dt", "", name));
    made.append(made.value = make("dd"));
    return made;
  }, (made, name) => { const text = pairs.find(([other]) => other === name)[1]; put(made.value, text, text); });
}

function curve(svg, samples, value, { most, beside } = {}) {
  const values = samples.map(value), others = beside ? samples.map(beside) : [], last = samples.at(-1)?.at;
  if (svg.drawn === values.length && svg.last === last && svg.most === most) return;
  [svg.drawn, svg.last, svg.most] = [values.length, last, most];
  const width = Math.max(60, values.length);
  svg.setAttribute("viewBox", `0 0 ${width} 30`);
  svg.setAttribute("preserveAspectRatio", "none");
  if (!svg.firstChild) svg.append(...["polyline", "polygon", "polyline"].map((kind) => document.createElementNS(SVG, kind)));
  const top = most || Math.max(...values, ...others, 1e-9), from = width - values.length;
  const [second, area, line] = svg.children;
  const points = (of) => of.map((value, at) => `${from + at},${(28.5 - 27 * Math.min(1, value / top)).toFixed(1)}`).join(" ");
  second.setAttribute("points", points(others));
  line.setAttribute("points", points(values));
  area.setAttribute("points", values.length ? `${from},30 ${points(values)} ${width - 1},30` : "");
}

// -- talking to the server --------------------------------------------------

let hiding = 0;
function toast(text, bad) {
  $("toast").className = bad ? "bad" : "";
  $("toast").textContent = text;
  clearTimeout(hiding);
  hiding = setTimeout(() => { $("toast").textContent = ""; }, bad ? 9000 : 4000);
}

async function asked(address, options) {
  let answer, body;
  try {
    answer = await fetch(address, options);
    body = (answer.headers.get("content-type") ?? "").startsWith("application/json") ? await answer.json() : { error: { message: (await answer.text()).trim() } };
  } catch {
    throw new Error("The dashboard does not answer. Is tenire dashboard still running?");
  }
  if (answer.ok) return body;
  const error = body.error ?? {};
  throw new Error(`${error.message || answer.status}${error.hint ? ` (${error.hint})` : ""}`);
}

async function act(command, pressed) {
  if (pressed) pressed.disabled = true;
  try {
    const done = await asked("/control", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(command) });
    toast(done.text);
  } catch (error) {
    toast(error.message, true);
  } finally {
    if (pressed) pressed.disabled = false;
    if (state.now) show();
  }
}

/** Show a text; with `yes`, ask and return whether the answer was yes. */
function dialog(title, text, yes) {
  put($("dialog-title"), title);
  put($("dialog-text"), text);
  $("dialog-yes").hidden = !yes;
  put($("dialog-yes"), yes ?? "");
  put($("dialog-no"), yes ? "Leave it running" : "Close");
  const box = $("dialog");
  box.returnValue = "no";
  box.showModal();
  return new Promise((resolve) => box.addEventListener("close", () => resolve(box.returnValue === "yes"), { once: true }));
}

async function why(task) {
  try {
    await dialog(`Why ${task}?`, (await asked(`/why?task=${encodeURIComponent(task)}`)).paragraph);
  } catch (error) {
    toast(error.message, true);
  }
}

// -- one pipeline -------------------------------------------------------------

function buildPipeline(name) {
  const card = make("li", "card");
  const title = make("h3", "", name);
  title.title = name;
  title.id = `pipeline ${name}`.replaceAll(/\s/g, "-");
  card.setAttribute("aria-labelledby", title.id);
  card.badge = make("span", "badge");
  card.breaker = make("span", "badge");
  card.percent = make("strong");
  card.bar = make("div", "bar", make("i"));
  card.bar.setAttribute("role", "progressbar");
  card.bar.setAttribute("aria-label", `Progress of ${name}`);
  card.bar.setAttribute("aria-valuemin", "0");
  card.bar.setAttribute("aria-valuemax", "100");
  card.facts = make("dl", "facts");
  card.error = make("p", "error");
  card.pause = button("Pause", () => act({ action: card.paused ? "resume" : "pause", pipeline: name }, card.pause));
  card.cancel = button("Cancel …", async () => {
    const sure = await dialog(`Cancel ${name}?`, "It ends now. Everything it has finished is kept, and the next run goes on from there.", "Cancel it");
    if (sure) await act({ action: "cancel", pipeline: name }, card.cancel);
  }, "danger");
  card.cancel.setAttribute("aria-label", `Cancel ${name}`);
  card.level = make("select");
  card.level.append(...LEVELS.map((level) => new Option(level, level)));
  card.level.addEventListener("change", () => act({ action: "priority", pipeline: name, level: card.level.value }));
  card.weight = make("input", "weight");
  Object.assign(card.weight, { type: "number", min: "0.1", step: "any", inputMode: "decimal" });
  card.weight.addEventListener("change", () => {
    if (card.weight.checkValidity() && card.weight.value) act({ action: "weight", pipeline: name, weight: Number(card.weight.value) });
    else toast("A weight is a number above 0", true);
  });
  card.tools = make("div", "tools", card.pause, card.cancel, make("label", "", "Priority", card.level), make("label", "", "Weight", card.weight));
  card.level.setAttribute("aria-label", `Priority of ${name}`);
  card.weight.setAttribute("aria-label", `Weight of ${name}`);
  card.stages = make("tbody");
  card.tasks = make("tbody");
  card.stageTable = make("div", "scroll narrow", table(["Stage", "Done ", "Waiting ", "Running ", "Workers "], card.stages));
  card.taskTable = make("div", "scroll", table(["Task", "State", "What, and why it is there"], card.tasks));
  card.details = make("details", "", make("summary", "", "Stages and tasks"), card.stageTable, card.taskTable);
  card.details.addEventListener("toggle", () => show());
  card.append(make("div", "head", title, card.badge, card.breaker, make("span", "gap"), card.percent), card.bar, card.facts, card.error, card.tools, card.details);
  return card;
}

function table(heads, body) {
  const cells = heads.map((text) => make("th", text.endsWith(" ") ? "n" : "", text.trim()));
  cells.forEach((cell) => { cell.scope = "col"; });
  return make("table", "", make("thead", "", make("tr", "", ...cells)), body);
}

/** Return whether it is known what a run has done: who is killed tells no totals. */
const told = (pipeline) => pipeline.finished || pipeline.expected || pipeline.state !== "interrupted";

function fillPipeline(card, name) {
  const pipeline = state.now.pipelines[name], rate = state.now.rates[name] ?? {}, totals = pipeline.totals;
  const live = state.now.link === "attached" && !OVER.includes(pipeline.state);
  put(card.badge, pipeline.state);
  mood(card.badge, "badge", KINDS[pipeline.state]);
  card.breaker.hidden = !["open", "half_open"].includes(pipeline.breaker);
  put(card.breaker, pipeline.breaker === "open" ? "provider is down" : "trying the provider");
  mood(card.breaker, "badge", pipeline.breaker === "open" ? "bad" : "warning");
  const part = pipeline.fraction, known = part !== null && part !== undefined;
  put(card.percent, known ? `${Math.floor(100 * part)} %` : "");
  card.bar.className = known ? `bar${part >= 1 ? " full" : ""}` : pipeline.state === "running" ? "bar unknown" : "bar";
  card.bar.firstChild.style.width = known ? `${100 * part}%` : "";
  if (known) card.bar.setAttribute("aria-valuenow", String(Math.floor(100 * part)));
  else card.bar.removeAttribute("aria-valuenow");
  card.bar.setAttribute("aria-valuetext", known ? `${Math.floor(100 * part)} per cent` : pipeline.state);
  card.bar.hidden = !known && pipeline.state !== "running";
  const unit = pipeline.unit === "row" ? "Rows" : "Files";
  const pairs = !told(pipeline) ? [] : [[unit, pipeline.expected > pipeline.finished ? `${count(pipeline.finished)} of ${count(pipeline.expected)}` : count(pipeline.finished)]];
  const moves = live && pipeline.state !== "waiting";
  if (moves) pairs.push(["Per second", `${perSecond(rate.items ?? 0)}${pipeline.unit === "file" && rate.speed ? `, ${bytes(rate.speed)}` : ""}`]);
  if (live && rate.left !== null && rate.left !== undefined && rate.left > 0) pairs.push(["Time left", duration(rate.left)]);
  if (!live && totals.seconds) pairs.push(["Took", duration(totals.seconds)]);
  if (moves) pairs.push(["Tasks run, wait", `${count(pipeline.running)}, ${count(pipeline.queued)}`]);
  if (totals.unchanged) pairs.push(["Unchanged", count(totals.unchanged)]);
  if (totals.quarantined) pairs.push(["In quarantine", count(totals.quarantined)]);
  if (totals.chunks) pairs.push(["Passages", count(totals.chunks)]);
  if (totals.calls || totals.cached_calls) {
    pairs.push(["Calls", `${count(totals.calls)}${totals.cached_calls ? `, ${count(totals.cached_calls)} kept` : ""}`]);
    pairs.push(["Tokens in, out", `${short(totals.input_tokens)}, ${short(totals.output_tokens)}`]);
    pairs.push(["Cost", dollars(totals.cost_usd)]);
  }
  if (totals.slowest_stage && live) pairs.push(["Limited by", totals.slowest_stage]);
  facts(card.facts, pairs);
  card.error.hidden = !totals.error;
  put(card.error, plain(totals.error ?? ""));
  card.paused = pipeline.state === "paused";
  card.tools.hidden = !live;
  put(card.pause, card.paused ? "Resume" : "Pause");
  card.pause.setAttribute("aria-label", `${card.paused ? "Resume" : "Pause"} ${name}`);
  if (document.activeElement !== card.level) card.level.value = pipeline.priority || "normal";
  if (document.activeElement !== card.weight) card.weight.value = String(pipeline.weight);
  card.details.hidden = !pipeline.stages.length && !pipeline.tasks.length;
  if (card.details.open) fillDetails(card, pipeline, name);
}

function fillDetails(card, pipeline, name) {
  card.stageTable.hidden = !pipeline.stages.length;
  card.taskTable.hidden = !pipeline.tasks.length;
  keep(card.stages, pipeline.stages.map((stage) => stage.name), () => make("tr", "", make("td"), ...[1, 2, 3, 4].map(() => make("td", "n"))), (row, stageName) => {
    const stage = pipeline.stages.find((each) => each.name === stageName);
    [stageName, ...[stage.done, stage.waiting, stage.running, stage.workers].map(count)].forEach((text, at) => put(row.cells[at], text));
  });
  keep(card.tasks, pipeline.tasks.map((task) => task.id), (id) => {
    const row = make("tr", "", make("td", "", button(id, () => why(id), "link")), make("td"), make("td", "wide"));
    row.cells[0].firstChild.setAttribute("aria-label", `Why ${id}?`);
    return row;
  }, (row, id) => {
    const task = pipeline.tasks.find((each) => each.id === id);
    put(row.cells[1], task.state);
    const what = cut(task.name.startsWith(`${name}: `) ? task.name.slice(name.length + 2) : task.name, 160);
    put(row.cells[2], plain(task.reason && task.state !== "running" ? `${what}: ${task.reason}` : what));
  });
}

// -- the other parts -----------------------------------------------------------

function showMachine() {
  const { engine, link } = state.now, live = link === "attached" && engine, samples = state.samples;
  const cpu = engine?.resources?.cpu, memory = engine?.resources?.memory, workers = engine?.workers ?? {};
  const reason = live ? engine.reason ?? "" : "";
  put($("load"), live ? engine.level : "–");
  put($("load-note"), live && engine.level !== "normal" ? reason : "", reason);
  put($("cpu"), live && cpu ? `${+cpu.held.toFixed(1)} of ${+cpu.capacity.toFixed(1)}` : "–");
  put($("cpu-note"), live ? `${some(workers.processes ?? 0, "worker process", "worker processes")}, ${some(workers.threads_busy ?? 0, "busy thread")}` : "");
  put($("memory"), live && engine.resident ? bytes(engine.resident) : "–");
  put($("memory-note"), live && memory ? `${bytes(memory.held)} of ${bytes(memory.capacity)} in flight` : "");
  const speed = Object.values(state.now.rates).reduce((sum, rate) => sum + rate.items, 0);
  put($("speed"), live ? perSecond(speed) : "–");
  put($("speed-note"), live ? "files and rows" : "");
  put($("tasks"), live ? count(engine.running) : "–");
  put($("tasks-note"), live ? `running, ${count(engine.queued)} waiting` : "", live ? "The dashed curve is of those that wait." : "");
  put($("store"), count(state.now.documents));
  put($("store-note"), `${state.now.documents === 1 ? "document" : "documents"}, ${some(state.now.passages, "passage")}`);
  const totals = Object.values(state.now.pipelines).map((pipeline) => pipeline.totals);
  const sum = (name) => totals.reduce((all, each) => all + (each[name] ?? 0), 0);
  const killed = Object.values(state.now.pipelines).some((pipeline) => !told(pipeline));
  put($("cost"), sum("calls") ? dollars(sum("cost_usd")) : killed ? "–" : "nothing");
  put($("cost-note"), sum("calls") ? some(sum("calls"), "call") : killed ? "a run was killed, and told nothing" : "no calls");
  curve($("load-curve"), samples, (sample) => sample.load ?? 0, { most: 1 });
  curve($("cpu-curve"), samples, (sample) => sample.cpu, { most: 1 });
  curve($("memory-curve"), samples, (sample) => sample.resident);
  curve($("speed-curve"), samples, (sample) => sample.items);
  curve($("tasks-curve"), samples, (sample) => sample.running, { beside: (sample) => sample.queued });
}

function showLink() {
  const { link, since, note, engine, home } = state.now;
  put($("link"), { attached: `running, pid ${engine?.pid}`, silent: "no answer", gone: "no engine" }[link]);
  mood($("link"), "pill", { attached: "good", silent: "bad", gone: "" }[link]);
  $("banner").hidden = link === "attached";
  const said = plain(note.slice(0, 1).toUpperCase() + note.slice(1));
  put($("banner"), link === "gone" ? `${said}${engine ? `, since ${clock(since)}` : ""}. The page goes on by itself when one starts. What is shown is what the home holds.` : `${said}. What is shown is what it told last.`);
  if (!$("home").firstChild) $("home").append(make("bdi"));
  put($("home").firstChild, plain(home));
  $("home").title = plain(home);
  const going = Object.values(state.now.pipelines).filter((pipeline) => pipeline.state === "running");
  const part = going.length === 1 ? going[0].fraction : null;
  document.title = link !== "attached" ? "Tenire" : part !== null && part !== undefined ? `${Math.floor(100 * part)} % · Tenire` : `${going.length} running · Tenire`;
}

function showQuotas() {
  const quotas = state.now.engine?.quotas ?? {}, names = state.now.link === "attached" ? Object.keys(quotas) : [];
  $("quotas").hidden = !names.length;
  keep($("quota-list"), names, (name) => {
    const card = make("li", "card", make("div", "head", make("h3", "", name)));
    card.badge = make("span", "badge is-warning");
    card.firstChild.append(card.badge);
    card.append(card.metrics = make("ul", "cards"), card.facts = make("dl", "facts"));
    return card;
  }, (card, name) => {
    const quota = quotas[name];
    card.badge.hidden = !quota.pause;
    put(card.badge, `paused by the provider for ${quota.pause} s`);
    keep(card.metrics, Object.keys(quota.metrics), (metric) => {
      const row = make("li", "", make("div", "row", make("span", "", metric.replaceAll("_", " ")), make("span", "note")), make("div", "bar", make("i")));
      return row;
    }, (row, metric) => {
      const { spent, limit } = quota.metrics[metric], part = limit ? spent / limit : 0;
      put(row.firstChild.lastChild, limit ? `${count(spent)} of ${count(limit)} in a minute` : `${count(spent)} in a minute, no limit known`);
      row.lastChild.hidden = !limit;
      row.lastChild.className = part > 1 ? "bar over" : "bar";
      row.lastChild.firstChild.style.width = `${Math.min(100, 100 * part)}%`;
    });
    facts(card.facts, [["Calls under way", `${count(quota.in_flight)} of ${count(quota.slots)}`], ["Calls waiting", count(quota.waiting)], ["Refused", count(quota.refused)]]);
  });
}

function showEngine() {
  const { engine, link } = state.now, live = link === "attached" && engine, box = $("engine-details");
  $("engine").hidden = !live;
  if (!live) return;
  const ill = Object.entries(engine.components).filter(([, part]) => part.health !== "healthy");
  put($("engine-summary"), ill.length ? ill.map(([name, part]) => `${name} is ${part.health}`).join(", ") : "What it shares out, and how its components fare");
  $("engine-summary").className = ill.length ? "error" : "";
  if (!box.open) return;
  if (!box.limits) {
    box.limits = make("tbody");
    box.parts = make("tbody");
    box.append(make("div", "scroll narrow", table(["Shared out", "In use ", "There is "], box.limits)),
      make("div", "scroll narrow", table(["Component", "Health", "Restarts ", "Last failure"], box.parts)));
  }
  const shown = (name, number) => (name.includes("memory") ? bytes(number) : count(+number.toFixed(2)));
  // What a quota limits is told above, in its own words: here it would be what may be spent at once.
  const shared = Object.keys(engine.resources).filter((name) => !(name.split("/")[0] in engine.quotas));
  keep(box.limits, shared, () => make("tr", "", make("td"), make("td", "n"), make("td", "n")), (row, name) => {
    const { held, capacity } = engine.resources[name];
    [name, shown(name, held), shown(name, capacity)].forEach((text, at) => put(row.cells[at], text));
  });
  keep(box.parts, Object.keys(engine.components), () => make("tr", "", make("td"), make("td"), make("td", "n"), make("td", "wide")), (row, name) => {
    const part = engine.components[name];
    [name, part.health, count(part.restarts), part.error ?? "–"].forEach((text, at) => put(row.cells[at], text));
  });
}

function showEvents() {
  $("no-events").hidden = state.events.length > 0;
  const newest = state.events.slice().reverse(), list = $("events"), byKey = new Map(newest.map((event) => [`${event.at} ${event.number}`, event]));
  keep(list, [...byKey.keys()], (key) => {
    const event = byKey.get(key), time = make("time", "", clock(event.at)), sign = make("span", `sign ${event.severity}`, SIGNS[event.severity] ?? "·");
    time.dateTime = new Date(event.at * 1000).toISOString();
    sign.setAttribute("aria-label", event.severity);
    sign.setAttribute("role", "img");
    return make("li", "", time, sign, make("span", "what", plain(event.text)));
  }, () => {});
}

function showQuarantine() {
  const entries = state.quarantine, all = state.now.quarantined;
  $("no-quarantine").hidden = all > 0;
  $("retry-all").hidden = !all;
  put($("quarantined"), all ? count(all) + (entries.length < all ? `, the newest ${count(entries.length)}` : "") : "");
  const byId = new Map(entries.map((entry) => [entry.id, entry]));
  keep($("quarantine"), [...byId.keys()], (id) => {
    const item = make("li"), retry = button("Try again", () => act({ action: "retry", ids: [id] }, retry));
    item.source = make("div", "source");
    item.note = make("div", "note");
    item.tries = make("div", "note");
    item.retry = retry;
    item.why = button("Why?", () => why(id));
    item.append(make("div", "what", item.source, item.note, item.tries), make("div", "tools", item.why, retry));
    return item;
  }, (item, id) => {
    const entry = byId.get(id);
    put(item.source, plain(entry.source.split("/").at(-1)), plain(entry.source));
    put(item.note, plain(`${entry.pipeline}, ${entry.stage}: ${entry.error}`));
    put(item.tries, `${some(entry.attempts, "try", "tries")}, the last at ${clock(entry.at)}`);
    item.why.setAttribute("aria-label", `Why is ${plain(entry.source)} here?`);
    put(item.retry, entry.retrying ? "next run" : "Try again");
    if (entry.retrying) item.retry.disabled = true;
    item.retry.setAttribute("aria-label", entry.retrying ? `${plain(entry.source)} is tried again by the next run` : `Try ${plain(entry.source)} again`);
  });
}

/** Return the pipelines that go on. */
const going = () => (state.now.link === "attached" ? Object.entries(state.now.pipelines).filter(([, each]) => !OVER.includes(each.state)).map(([name]) => name) : []);

async function endRun() {
  const names = going();
  const sure = await dialog("End the run?", `${some(names.length, "pipeline")} would be cancelled. Everything that is finished is kept, and the next run goes on from there.`, "End the run");
  if (sure) await act({ action: "end", pipelines: names }, $("end-run"));
}

function show() {
  showLink();
  showMachine();
  const names = Object.keys(state.now.pipelines);
  $("end-run").hidden = !going().length;
  $("no-pipelines").hidden = names.length > 0;
  keep($("pipeline-list"), names, buildPipeline, fillPipeline);
  showQuotas();
  showEngine();
}

// -- search ----------------------------------------------------------------

function marked(text, spans) {
  // Offsets count characters; strings here count UTF-16 units.
  const characters = [...text], parts = [];
  let at = 0;
  for (const [begin, end] of spans) {
    parts.push(characters.slice(at, begin).join(""), make("mark", "", characters.slice(begin, end).join("")));
    at = end;
  }
  return [...parts, characters.slice(at).join("")];
}

async function search(event) {
  event.preventDefault();
  const query = $("query").value.trim();
  if (!query) return;
  put($("search-note"), "searching …");
  try {
    const found = await asked(`/search?${new URLSearchParams({ q: query, mode: $("mode").value, k: "10" })}`);
    put($("search-note"), found.hits.length ? `${some(found.hits.length, "passage")} in ${(1000 * found.seconds).toFixed(0)} ms` : "Nothing was found.");
    $("hits").replaceChildren(...found.hits.map((hit) => {
      const where = [hit.headings.join(" › "), hit.page ? `page ${hit.page}` : "", hit.lines ? (hit.lines[0] === hit.lines[1] ? `line ${hit.lines[0]}` : `lines ${hit.lines.join("–")}`) : ""].filter(Boolean).join(", ");
      const source = make("p", "source", plain(hit.title || hit.source.split("/").at(-1)));
      source.title = plain(hit.source);
      const text = make("p", "text", ...marked(hit.text, hit.highlights));
      text.tabIndex = 0;
      return make("li", "", source, make("p", "note", plain(where ? `${hit.source} · ${where}` : hit.source)), text);
    }));
  } catch (error) {
    put($("search-note"), error.message);
    $("hits").replaceChildren();
  }
}

// -- the stream ---------------------------------------------------------------

function take(message) {
  const { whole, events, quarantine, samples, ...now } = message;
  // What did not change is not sent again.
  for (const [name, pipeline] of Object.entries(now.pipelines)) pipeline.tasks ??= state.now?.pipelines[name]?.tasks ?? [];
  state.now = now;
  if (whole) Object.assign(state, { events, quarantine, samples });
  else {
    if (events) state.events = [...state.events, ...events].slice(-MOST_EVENTS);
    if (quarantine) state.quarantine = quarantine;
    if (samples) state.samples = [...state.samples, ...samples].slice(-MOST_SAMPLES);
  }
  show();
  if (whole || events) showEvents();
  if (whole || quarantine) showQuarantine();
}

function follow() {
  const stream = new EventSource("/events");
  let latest = null, drawing = false;
  stream.onmessage = (event) => {
    const message = JSON.parse(event.data);
    // A page in the background draws nothing; what it missed is added up for when it is seen.
    if (latest) for (const [name, pipeline] of Object.entries(message.pipelines)) pipeline.tasks ??= latest.pipelines[name]?.tasks;
    latest = latest && !message.whole ? { ...message, whole: latest.whole,
      events: [...latest.events ?? [], ...message.events ?? []], samples: [...latest.samples ?? [], ...message.samples ?? []],
      quarantine: message.quarantine ?? latest.quarantine } : message;
    if (!drawing) {
      drawing = true;
      const draw = () => { drawing = false; const next = latest; latest = null; take(next); };
      if (document.hidden) setTimeout(draw, 1000); else requestAnimationFrame(draw);
    }
  };
  stream.onerror = () => {
    put($("link"), "dashboard gone");
    mood($("link"), "pill", "bad");
    $("banner").hidden = false;
    put($("banner"), "The dashboard does not answer. If it was started anew, open the address that it printed.");
    if (stream.readyState === EventSource.CLOSED) setTimeout(follow, 2000);
  };
}

document.addEventListener("DOMContentLoaded", () => {
  $("search").addEventListener("submit", search);
  $("ask-why").addEventListener("submit", (event) => {
    event.preventDefault();
    const id = $("why-id").value.trim();
    if (id) why(id);
  });
  $("end-run").addEventListener("click", endRun);
  $("retry-all").addEventListener("click", () => act({ action: "retry", ids: null }, $("retry-all")));
  document.addEventListener("keydown", (event) => {
    const typing = event.target instanceof Element && event.target.matches("input, select, textarea, [contenteditable]");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) { event.preventDefault(); $("query").focus(); }
  });
  $("engine-details").addEventListener("toggle", () => { if (state.now) showEngine(); });
  follow();
});
