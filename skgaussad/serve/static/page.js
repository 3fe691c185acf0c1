// The page of skgaussad serve. All it shows comes from the API beside it.
"use strict";

const $ = (id) => document.getElementById(id);
// Few images a request, so that the first results come soon.
const AT_ONCE = 8;
const N_CHART_BARS = 30;
const N_TRAINING = 12;
const N_DECISIONS = 20;
const IMAGE = /\.(png|jpe?g|jpe|jfif|mpo|tiff?|bmp|gif|webp|jp2|j2k|pnm|pgm|ppm|pbm|avif)$/i;

let facts = null;
let points = null; // What /rates says.
let results = []; // Of this visit, in the order in which they came.
let nTraining = N_TRAINING;

// -- Words ------------------------------------------------------------------------------

const percent = (rate) =>
  rate === null ? "not known" : `${Number((100 * rate).toPrecision(rate < 0.1 ? 2 : 3))}\u00a0%`;
const digits = (value) => (value === null ? "\u2013" : `${Number(value.toPrecision(3))}`);
const count = (n, one, many) => `${n} ${n === 1 ? one : many}`;
const shown = (name) => name.split("/").pop();

/** Make an element; children are elements or text. */
function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === "onclick") made.addEventListener("click", value);
    else if (value !== null && value !== undefined && value !== false)
      made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

function svg(tag, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

let statusTimer = null;
function say(text) {
  $("status").textContent = text;
  clearTimeout(statusTimer);
  statusTimer = setTimeout(() => ($("status").textContent = ""), 6000);
}

function complain(error) {
  $("problem").textContent = error.message;
  $("problem").hidden = false;
  $("problem").scrollIntoView({ block: "nearest" });
}

// -- The API ----------------------------------------------------------------------------

let asking = null;
function askForToken() {
  asking ??= new Promise((resolve) => {
    // One that was given already was refused.
    $("token-wrong").hidden = !sessionStorage.getItem("token");
    $("token").value = "";
    $("token-dialog").showModal();
    $("token-dialog").addEventListener("close", () => {
      sessionStorage.setItem("token", $("token").value);
      asking = null;
      resolve();
    }, { once: true });
  });
  return asking;
}

/** Ask the API; errors have the words of the service. */
async function ask(path, options = {}) {
  const token = sessionStorage.getItem("token");
  const headers = { ...options.headers };
  if (token) headers.Authorization = `Bearer ${token}`;
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch {
    throw new Error("The service does not answer. Is it still running?");
  }
  if (response.status === 401) {
    await askForToken();
    return ask(path, options);
  }
  if (!response.ok) {
    const problem = await response.json().catch(() => ({}));
    throw new Error(problem.error || `The service answered ${response.status}.`);
  }
  return response;
}

const get = async (path) => (await ask(path)).json();
const post = async (path, body) =>
  ask(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });

// Pictures are asked for with the token, and so not by their addresses. Each is asked for
// when it is about to be seen.
const pictures = new Map();
async function show(image) {
  const path = image.dataset.path;
  if (!pictures.has(path)) {
    pictures.set(path, ask(path).then(async (r) => URL.createObjectURL(await r.blob())));
  }
  try {
    const url = await pictures.get(path);
    if (image.dataset.path === path) image.src = url;
  } catch (error) {
    pictures.delete(path);
    image.alt = `${image.alt} (${error.message})`;
  }
}
const seen = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (isIntersecting) {
        seen.unobserve(target);
        show(target);
      }
    }
  },
  { rootMargin: "300px" }
);
function picture(path, alt) {
  const image = element("img", { alt, "data-path": path });
  seen.observe(image);
  return image;
}

/** Run what a button does; errors are shown, and it cannot be pressed twice. */
function onClick(id, work) {
  $(id).addEventListener("click", async (event) => {
    const button = event.currentTarget;
    button.disabled = true;
    $("problem").hidden = true;
    try {
      await work(button);
    } catch (error) {
      complain(error);
    } finally {
      button.disabled = false;
      refreshButtons();
    }
  });
}

// -- Check ------------------------------------------------------------------------------

/** Return the files of a drop, also those in folders. */
async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.());
  if (!entries.some((entry) => entry?.isDirectory)) return [...transfer.files];
  const files = [];
  async function walk(entry) {
    if (entry.isFile) {
      const file = await new Promise((done, fail) => entry.file(done, fail));
      file.path = entry.fullPath.slice(1);
      files.push(file);
    } else {
      const reader = entry.createReader();
      for (;;) {
        const some = await new Promise((done, fail) => reader.readEntries(done, fail));
        if (!some.length) break;
        for (const child of some) await walk(child);
      }
    }
  }
  for (const entry of entries) if (entry) await walk(entry);
  return files.filter((file) => IMAGE.test(file.name));
}

const nameOf = (file) => file.path || file.webkitRelativePath || file.name;

let queue = Promise.resolve();
// Whether the service uses another model or rate than the page shows.
let isChanged = false;
function check(files) {
  // One after the other, whatever is dropped meanwhile.
  queue = queue.then(() => score(files)).catch(complain);
}

async function score(files) {
  if (!files.length) {
    complain(new Error("There are no images among these files."));
    return;
  }
  $("problem").hidden = true;
  $("working").hidden = false;
  $("progress").max = files.length;
  const limit = Math.min(AT_ONCE, facts?.max_images || AT_ONCE);
  for (let start = 0; start < files.length; start += limit) {
    $("progress").value = start;
    $("progress-text").textContent = `Scoring image ${start + 1} of ${files.length}`;
    const some = files.slice(start, start + limit);
    let found;
    try {
      found = await upload(some);
    } catch (error) {
      // One of them is refused: ask for each by itself, so that the others count.
      found = [];
      for (const file of some) {
        found.push(
          ...(await upload([file]).catch((why) => [
            { name: nameOf(file), error: why.message, id: null },
          ]))
        );
      }
    }
    results.push(...found.map((result) => ({ ...result, verdict: null })));
    drawResults();
  }
  $("working").hidden = true;
  say(`${count(files.length, "image", "images")} checked.`);
  await (isChanged ? refresh() : refreshHistory());
  isChanged = false;
}

async function upload(files) {
  const form = new FormData();
  for (const file of files) form.append("files", file, nameOf(file));
  const lot = $("lot").value.trim();
  const path = facts?.lots && lot ? `score?lot=${encodeURIComponent(lot)}` : "score";
  const answer = await (await ask(path, { method: "POST", body: form })).json();
  // By another page or program, or by a new model file.
  const used = answer.results.find((result) => !result.error);
  isChanged ||=
    answer.model !== facts?.version ||
    Boolean(used && !facts.adapts && used.threshold !== facts.threshold);
  return answer.results;
}

/** The working point at which the slider stands. */
const chosen = () => (points ? points.rates[$("rate").valueAsNumber] : null);
const isSame = () => !chosen() || chosen().fpr === points.current.fpr;
/** Whether an image is flagged, by the slider where it was moved. */
function isFlagged(result) {
  return isSame() ? result.label === -1 : result.distance > chosen().threshold;
}

function drawResults() {
  const usable = results.filter((result) => !result.error);
  $("results").hidden = !results.length;
  const n = usable.filter(isFlagged).length;
  const nBad = results.length - usable.length;
  $("summary").textContent =
    `${n} of ${count(usable.length, "image", "images")} flagged` +
    (isSame() ? "" : ` at ${percent(chosen().fpr)}`) +
    (nBad ? `; ${nBad} cannot be used` : "");
  const show = $("show").value;
  const orders = {
    distance: (a, b) => (b.distance ?? Infinity) - (a.distance ?? Infinity),
    name: (a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }),
    arrival: () => 0,
  };
  const listed = results
    .filter((r) => show === "all" || r.error || isFlagged(r) === (show === "flagged"))
    .sort(orders[$("order").value]);
  // A card that stays keeps its place in the order of the keyboard.
  const focus = document.activeElement?.dataset?.key;
  $("cards").replaceChildren(...listed.map(cardOf));
  if (focus) document.querySelector(`[data-key="${focus}"]`)?.focus();
}

/** Return the card of a result, drawn again only where something on it has changed. */
function cardOf(result) {
  const hasMap = $("maps").checked !== Boolean(result.turned);
  const seenAs = result.error
    ? "error"
    : [
        isFlagged(result), hasMap, result.verdict, result.label, thresholdOf(result),
      ].join();
  if (result.seenAs !== seenAs) {
    result.card = drawCard(result, hasMap);
    result.seenAs = seenAs;
  }
  return result.card;
}

function drawCard(result, hasMap) {
  if (result.error) {
    return element(
      "li",
      { class: "card" },
      element(
        "div",
        { class: "body" },
        element("span", { class: "name" }, result.name),
        element("span", { class: "verdict bad" }, "Cannot be used"),
        element("span", {}, result.error)
      )
    );
  }
  const flagged = isFlagged(result);
  // The white line on a map is that of the rate in use.
  const map = `/map?at=${points?.current.fpr ?? ""}`;
  const path = `images/${result.id}${hasMap ? map : ""}`;
  const what = hasMap ? "Anomaly map over" : "Picture of";
  return element(
    "li",
    { class: `card${flagged ? " flagged" : ""}` },
    element(
      "button",
      {
        type: "button",
        class: "picture",
        "data-key": `picture-${result.id}`,
        "aria-pressed": String(hasMap),
        "aria-label": `Map over ${result.name}`,
        title: hasMap ? "Show the image without the map" : "Show the map",
        onclick: () => {
          result.turned = !result.turned;
          drawResults();
        },
      },
      picture(path, `${what} ${result.name}`)
    ),
    element(
      "div",
      { class: "body" },
      element("span", { class: "name" }, result.name),
      verdict(flagged),
      flagged !== (result.label === -1)
        ? element("span", { class: "changes" }, "changes at this rate")
        : null,
      meter(result, flagged),
      element(
        "span",
        { class: "figures small" },
        result.p_value === null ? "" : element("span", {}, `p-value ${digits(result.p_value)}`),
        ratioText(result.distance, thresholdOf(result))
      ),
      feedbackButtons(result)
    )
  );
}

/** The threshold that an image is shown by: that of the slider where it was moved. */
const thresholdOf = (result) => (isSame() ? result.threshold : chosen().threshold);

const ratioText = (distance, threshold) =>
  element(
    "span",
    {},
    threshold > 0
      ? `${digits(distance / threshold)} \u00d7 threshold`
      : `distance ${digits(distance)}`
  );

/** Draw the distance as a bar, with a mark at the threshold of the slider. */
function meter(result, flagged) {
  const threshold = thresholdOf(result);
  if (!(threshold > 0)) return null;
  const end = Math.max(2 * threshold, result.distance);
  const bar = svg("svg", {
    class: `meter ${flagged ? "bad" : "good"}`,
    viewBox: "0 0 100 6",
    preserveAspectRatio: "none",
    "aria-hidden": "true",
  });
  bar.append(
    svg("rect", { class: "track", width: 100, height: 6 }),
    svg("rect", { class: "value", width: (100 * result.distance) / end, height: 6 }),
    svg("rect", { class: "mark", x: (100 * threshold) / end - 0.5, width: 1, height: 6 })
  );
  return bar;
}

const verdict = (flagged) =>
  element(
    "span",
    { class: `verdict ${flagged ? "bad" : "good"}` },
    flagged ? "\u26a0\ufe0e Anomalous" : "\u2713 Normal"
  );

function feedbackButtons(result, tag = "div", attributes = {}) {
  const button = (value, text) =>
    element(
      "button",
      {
        type: "button",
        "data-key": `${value}-${tag}-${result.id}`,
        "aria-pressed": String(result.verdict === value),
        "aria-label": `${text}: ${result.name}`,
        onclick: () => judge(result, result.verdict === value ? null : value),
      },
      text
    );
  return element(
    tag,
    { class: "buttons", ...attributes },
    button("good", "This was good"),
    button("defect", "This is a defect")
  );
}

async function judge(result, value) {
  $("problem").hidden = true;
  try {
    await post("feedback", { id: result.id, verdict: value });
  } catch (error) {
    complain(error);
    return;
  }
  for (const other of results) if (other.id === result.id) other.verdict = value;
  const words = { good: "was good", defect: "is a defect" };
  say(
    value
      ? `Noted: ${shown(result.name)} ${words[value]}.`
      : `Taken back for ${shown(result.name)}.`
  );
  drawResults();
  await refreshHistory();
}

// -- The rate ---------------------------------------------------------------------------

async function refreshRates() {
  points = await get("rates");
  $("rate-panel").hidden = !points.rates.length;
  if (!points.rates.length) {
    points = null;
    return;
  }
  $("rate").max = points.rates.length - 1;
  returnToRate();
}

function returnToRate() {
  $("rate").value = points.rates.findIndex((p) => p.fpr === points.current.fpr);
  drawRate();
}

function drawRate() {
  const point = chosen();
  $("rate-value").textContent = percent(point.fpr);
  $("rate").setAttribute("aria-valuetext", percent(point.fpr));
  $("rate-text").textContent =
    `Images farther than ${digits(point.threshold)} are flagged: with 95\u00a0% ` +
    `confidence at most ${percent(point.bound)} of normal images like those of the fit.` +
    (point.supported
      ? ""
      : " There are too few training images to promise this rate.");
  const changed = results.filter((r) => !r.error && isFlagged(r) !== (r.label === -1));
  const names = changed.slice(0, 5).map((result) => shown(result.name));
  if (changed.length > 5) names.push(`${changed.length - 5} more`);
  $("rate-changes").textContent = isSame()
    ? "This is the rate in use."
    : changed.length
      ? `${count(changed.length, "image changes", "images change")} sides: ${names.join(", ")}; ${count(
          changed.filter(isFlagged).length, "of these is", "of these are"
        )} flagged then.`
      : "No image changes sides.";
  drawResults();
  refreshButtons();
}

// -- History ----------------------------------------------------------------------------

let history_ = null;
async function refreshHistory() {
  history_ = await get("history?limit=1000");
  const rate = history_.n_decided ? history_.n_flagged / history_.n_decided : null;
  const tiles = [
    ["Images decided", history_.n_decided],
    ["Flagged", history_.n_flagged],
    ["Alarm rate", rate === null ? "\u2013" : percent(rate)],
    ["False alarms reported", history_.n_false_alarms],
    ["Missed defects reported", history_.n_missed],
  ];
  if (history_.adaptive)
    tiles.push(["Rate of false alarms", percent(history_.adaptive.rate)]);
  $("counts").replaceChildren(
    ...tiles.map(([name, value]) =>
      element("div", {}, element("dt", {}, name), element("dd", {}, `${value}`))
    )
  );
  drawChart();
  drawDrift();
  $("decisions").replaceChildren(...history_.decisions.slice(0, N_DECISIONS).map(drawDecision));
  $("waiting").textContent = !facts?.can_update
    ? "This model file does not keep what an update needs; fit it again to update it."
    : history_.n_waiting
      ? `${count(history_.n_waiting, "image was", "images were")} confirmed good and can ` +
        "be added to the normal images of the model."
      : "Images that you confirm as good can be added to the normal images of the model.";
  refreshButtons();
}

function drawChart() {
  const decisions = [...history_.decisions].reverse();
  if (!decisions.length) {
    $("chart").replaceChildren(element("p", {}, "Nothing has been decided so far."));
    return;
  }
  const size = Math.ceil(decisions.length / N_CHART_BARS);
  const rates = [];
  for (let start = 0; start < decisions.length; start += size) {
    const some = decisions.slice(start, start + size);
    rates.push(some.filter((d) => d.label === -1).length / some.length);
  }
  const chart = svg("svg", { viewBox: "0 0 300 100", preserveAspectRatio: "none" });
  const width = 300 / Math.max(rates.length, 10);
  rates.forEach((rate, i) =>
    chart.append(
      svg("rect", {
        class: "rate",
        x: i * width + 0.5,
        y: 99 - 98 * rate,
        width: width - 1,
        height: 98 * rate,
      })
    )
  );
  chart.append(svg("line", { class: "axis", x1: 0, x2: 300, y1: 99.5, y2: 99.5 }));
  if (facts?.fpr) {
    const y = 99 - 98 * facts.fpr;
    chart.append(svg("line", { class: "asked", x1: 0, x2: 300, y1: y, y2: y }));
  }
  const last = rates[rates.length - 1];
  const text =
    `Fraction flagged among the last ${count(decisions.length, "image", "images")}, ` +
    `the newest at the right, ${count(size, "image", "images")} a bar, ` +
    "from 0 to 100\u00a0%" +
    (facts?.fpr ? `; the dashed line is the ${percent(facts.fpr)} asked of normal ones` : "");
  $("chart").setAttribute("aria-label", `${text}. Last bar: ${percent(last)}.`);
  $("chart").replaceChildren(chart, element("p", {}, `${text}.`));
}

function drawDrift() {
  const monitor = history_.monitor;
  $("monitor").hidden = !monitor?.alarm;
  $("drift").textContent = !monitor
    ? "This model has no held-out distances to watch production by."
    : monitor.alarm
      ? ""
      : `No sign that production has changed, after ` +
        `${count(monitor.n_seen, monitor.by, `${monitor.by}s`)} by this model.`;
  if (monitor?.alarm) {
    $("monitor-text").textContent =
      monitor.diagnosis === "burst"
        ? "Some images are very unusual and the others are as before: look at the " +
          "parts, there may be a series of defects."
        : "The images as a whole are no longer like those of the fit: look at camera, " +
          "light and pose. If the change is meant, add new normal images to the model.";
  }
}

function drawDecision(decision) {
  return element(
    "tr",
    {},
    element("th", { scope: "row" }, decision.name),
    element("td", { "data-label": "Time" }, new Date(decision.time).toLocaleString()),
    element("td", { "data-label": "Decision" }, verdict(decision.label === -1)),
    element("td", { "data-label": "p-value" }, digits(decision.p_value)),
    feedbackButtons(decision, "td")
  );
}

// -- Training images --------------------------------------------------------------------

async function refreshTraining() {
  let training;
  try {
    training = await get(`training?limit=${nTraining}`);
  } catch (error) {
    $("training-text").textContent = error.message;
    $("forget").hidden = true;
    return;
  }
  $("training-above").textContent =
    `${training.n_above} of ${count(training.n_images, "image", "images")} would be ` +
    "flagged themselves.";
  $("training-more").hidden = training.images.length >= training.n_images;
  $("training-cards").replaceChildren(
    ...training.images.map((image) =>
      element(
        "li",
        { class: `card${image.above ? " flagged" : ""}` },
        image.has_picture
          ? element(
              "div",
              { class: "picture" },
              picture(`training/${image.row}/image`, `Training image ${image.shown}`)
            )
          : null,
        element(
          "div",
          { class: "body" },
          element("span", { class: "name" }, image.shown),
          element(
            "span",
            { class: "figures small" },
            ratioText(image.distance, facts.threshold)
          ),
          image.name && facts?.can_update
            ? element(
                "label",
                { class: "small" },
                element("input", { type: "checkbox", value: image.name, name: "forget" }),
                ` Leave out`,
                element("span", { class: "visually-hidden" }, ` ${image.shown}`)
              )
            : null
        )
      )
    )
  );
  refreshButtons();
}

const selected = () =>
  [...document.querySelectorAll("input[name=forget]:checked")].map((box) => box.value);

// -- Model ------------------------------------------------------------------------------

async function refreshModel() {
  facts = await get("model");
  document.title = `${facts.file} \u2013 image inspection`;
  $("model-name").textContent = facts.file;
  const n = facts.n_training_images;
  $("model-line").textContent = [
    n === null ? null : `${count(n, "normal image", "normal images")} learned`,
    facts.fpr === null ? null : `${percent(facts.fpr)} false alarms asked for`,
    facts.fpr_bound === null
      ? null
      : `at most ${percent(facts.fpr_bound)} with 95\u00a0% confidence`,
  ]
    .filter(Boolean)
    .join(" \u00b7 ");
  $("limits").textContent =
    `PNG, JPEG, TIFF, BMP, WebP and others, up to ${digits(facts.max_size)} MB each. ` +
    "They stay on this service.";
  $("lot-line").hidden = !facts.lots;
  $("learned").replaceChildren(
    ...facts.summary.map((sentence) => element("p", {}, sentence))
  );
  document.querySelector("[data-download='model/onnx']").hidden = !facts.has_onnx;
  const info = facts.model_info;
  const rows = [
    ["Detector", info.detector?.class?.split(".").pop()],
    ["Network", info.networks.map((network) => network.backbone).join(", ")],
    ["Threshold", digits(facts.threshold) + (facts.adapts ? ", follows the feedback" : "")],
    ["Updates", `${facts.n_updates}`],
    ["Version", facts.version],
    ["Saved with", `skgaussad ${info.packages.skgaussad}`],
  ];
  $("facts").replaceChildren(
    ...rows
      .filter(([, value]) => value)
      .flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)])
  );
}

/** Tell what an update did, and show all anew. */
async function finish(response) {
  const done = await response.json();
  say(
    `The model has ${count(done.n_after, "image", "images")} now, ${done.n_before} before. ` +
      `By its own rate the threshold is ${digits(done.threshold_after)}, ` +
      `${digits(done.threshold_before)} before.`
  );
  await refresh();
  if (done.warnings.length) complain(new Error(done.warnings.join(" ")));
}

function refreshButtons() {
  const canUpdate = Boolean(facts?.can_update);
  $("update").disabled = !canUpdate || !history_?.n_waiting;
  $("undo").disabled = !canUpdate || !facts.n_updates;
  $("forget").disabled = !canUpdate || !selected().length;
  $("rate-use").hidden = $("rate-back").hidden = isSame();
}

async function refresh() {
  await refreshModel();
  await Promise.all([refreshRates(), refreshHistory(), refreshTraining()]);
}

// -- What the user does -----------------------------------------------------------------

for (const id of ["files", "folder"]) {
  $(id).addEventListener("change", (event) => {
    const files = [...event.target.files];
    event.target.value = "";
    check(id === "folder" ? files.filter((file) => IMAGE.test(file.name)) : files);
  });
}
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  $("drop").classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) $("drop").classList.remove("over");
});
document.addEventListener("drop", async (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  check(await droppedFiles(event.dataTransfer));
});
$("rate").addEventListener("input", drawRate);
for (const id of ["show", "order", "maps"]) $(id).addEventListener("change", drawResults);
$("clear").addEventListener("click", () => {
  results = [];
  drawRateOrResults();
  $("files").focus();
});
const drawRateOrResults = () => (points ? drawRate() : drawResults());
$("training-cards").addEventListener("change", refreshButtons);
onClick("rate-back", async () => {
  returnToRate();
  $("rate").focus();
});
onClick("rate-use", async () => {
  const point = chosen();
  await post("rate", { fpr: point.fpr === points.own.fpr ? null : point.fpr });
  for (const result of results) {
    if (result.error) continue;
    result.label = result.distance > point.threshold ? -1 : 1;
    result.threshold = point.threshold;
  }
  say(`Images are decided at ${percent(point.fpr)} from now on.`);
  await refresh();
  // The button is gone.
  $("rate").focus();
});
onClick("update", async () =>
  finish(await post("update", { lot: (facts.lots && $("lot").value.trim()) || null }))
);
onClick("forget", async () => finish(await post("update", { ids: [], forget: selected() })));
onClick("undo", async () => finish(await post("undo", {})));
onClick("training-more", async () => {
  nTraining *= 4;
  await refreshTraining();
});
onClick("monitor-reset", async () => {
  await post("monitor/reset", {});
  await refreshHistory();
});
for (const button of document.querySelectorAll("[data-download]")) {
  button.id ||= `download-${button.dataset.name}`;
  onClick(button.id, async () => {
    say("The file is being made\u2026");
    const blob = await (await ask(button.dataset.download)).blob();
    const link = element("a", {
      href: URL.createObjectURL(blob),
      download: button.dataset.name,
    });
    link.click();
    say("The download has begun.");
  });
}
refresh().catch(complain);
