
"use strict";
(() => {
  const find = (selector, within = document) => within.querySelector(selector);
  const make = (tag, text, attributes = {}) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };
  const counted = (n) => n.toLocaleString("en");
  const moment = (ms) => new Date(ms).toISOString().replace("T", " ").replace(/\.\d+Z/, "Z");

  // The ledger: a column each, indexed by the row's number. Columns of NAMED hold numbers of texts.
  const NAMED = ["step", "row", "strategy", "outcome", "type", "health", "why"];
  const PLAIN = ["iteration", "id", "run", "new_run", "claimed", "since", "command", "link"];
  const SHOWN = [["id", "Workflow"], ["step", "Step"], ["row", "Row"], ["outcome", "Outcome"], ["health", "Health"], ["new_run", "New run"], ["why", "Why"]];
  const FILTERS = ["step", "row", "outcome", "health"];
  const HIGH = 26, HEAD = 30, SPARE = 12;

  const ledger = { texts: [""], numbers: new Map([["", 0]]), rows: 0, seq: 0, total: 0, columns: {} };
  for (const name of [...NAMED, ...PLAIN]) ledger.columns[name] = [];
  let hay = [], keys = {}, shown = [], active = -1, sort = { by: null, down: false }, grid, body;

  const merge = (news) => {
    const number = news.texts.map((text) => {
      let known = ledger.numbers.get(text);
      if (known === undefined) {
        known = ledger.texts.push(text) - 1;
        ledger.numbers.set(text, known);
      }
      return known;
    });
    news.ordinal.forEach((row, index) => {
      for (const name of NAMED) ledger.columns[name][row] = number[news[name][index]];
      for (const name of PLAIN) ledger.columns[name][row] = news[name][index];
      hay[row] = undefined;
      ledger.rows = Math.max(ledger.rows, row + 1);
    });
    ledger.seq = news.seq;
    ledger.total = news.total;
    keys = {};
  };
  const cell = (row, name) => {
    const value = ledger.columns[name][row];
    return NAMED.includes(name) ? ledger.texts[value] : value;
  };

  // Numbers inside names compare as numbers: order-9 before order-10.
  const natural = (text) => text.toLowerCase().replace(/\d+/g, (digits) => digits.padStart(15, "0"));
  const order = (name) => {
    if (!keys[name]) {
      const rank = (texts) => {
        const keyed = texts.map(natural);
        const sorted = keyed.map((_, index) => index).sort((a, b) => (keyed[a] < keyed[b] ? -1 : keyed[a] > keyed[b] ? 1 : a - b));
        const ranks = new Int32Array(texts.length);
        sorted.forEach((index, place) => { ranks[index] = place && keyed[index] === keyed[sorted[place - 1]] ? ranks[sorted[place - 1]] : place; });
        return ranks;
      };
      if (NAMED.includes(name)) {
        const ranks = rank(ledger.texts);
        keys[name] = ledger.columns[name].map((number) => ranks[number]);
      } else keys[name] = rank(ledger.columns[name]);
    }
    return keys[name];
  };
  const straw = (row) => {
    if (hay[row] === undefined) hay[row] = ["id", "run", "new_run", "type", "strategy", "why"].map((name) => cell(row, name)).join("\n").toLowerCase();
    return hay[row];
  };

  const choose = () => {
    const wanted = find("#search").value.trim().toLowerCase();
    const exact = FILTERS.map((name) => [ledger.columns[name], find("#f-" + name).value]).filter(([, value]) => value !== "").map(([column, value]) => [column, Number(value)]);
    shown = [];
    for (let row = 0; row < ledger.rows; row++) {
      if (exact.every(([column, value]) => column[row] === value) && (!wanted || straw(row).includes(wanted))) shown.push(row);
    }
    if (sort.by) {
      const key = order(sort.by), sign = sort.down ? -1 : 1;
      shown.sort((a, b) => sign * (key[a] - key[b]) || a - b);
    }
    find("#found").textContent = shown.length === ledger.rows ? counted(ledger.rows) + " Workflows" : counted(shown.length) + " of " + counted(ledger.rows) + " Workflows";
    grid.setAttribute("aria-rowcount", shown.length + 1);
    body.style.height = shown.length * HIGH + "px";
    draw();
  };

  const draw = () => {
    const first = Math.max(0, Math.floor((grid.scrollTop - HEAD) / HIGH) - SPARE);
    const last = Math.min(shown.length, Math.ceil((grid.scrollTop + grid.clientHeight) / HIGH) + SPARE);
    const lines = [];
    for (let place = first; place < last; place++) {
      const row = shown[place];
      const line = make("div", undefined, { role: "row", class: row === active ? "r on" : "r", id: "row-" + row, "aria-rowindex": place + 2, "aria-selected": row === active });
      line.style.top = place * HIGH + "px";
      line.dataset.place = place;
      for (const [name] of SHOWN) {
        const text = cell(row, name);
        const part = make("span", text, { role: "gridcell", dir: "auto" });
        if (text.length > 16) part.title = text;
        if (name === "outcome" && ["refused", "failed", "unknown"].includes(text)) part.className = "bad";
        if (name === "health" && ["failing", "unpolled", "lost", "failed since"].includes(text)) part.className = "bad";
        line.append(part);
      }
      lines.push(line);
    }
    body.replaceChildren(...lines);
    const drawn = active >= 0 && find("#row-" + active);
    if (drawn) grid.setAttribute("aria-activedescendant", drawn.id);
    else grid.removeAttribute("aria-activedescendant");
  };

  const detail = () => {
    const list = make("dl", undefined, { class: "facts" });
    const say = (name, value) => {
      if (value === "" || value === undefined) return;
      const pair = make("div");
      const said = make("dd");
      if (value instanceof Node) said.append(value);
      else said.textContent = value;
      pair.append(make("dt", name), said);
      list.append(pair);
    };
    const row = active;
    say("Workflow", cell(row, "id"));
    say("Type", cell(row, "type"));
    say("Run", cell(row, "run"));
    say("New run", cell(row, "new_run"));
    say("Step", cell(row, "step") + (cell(row, "iteration") ? ", iteration " + cell(row, "iteration") : ""));
    say("Row", cell(row, "row"));
    say("Strategy", cell(row, "strategy"));
    say("Outcome", cell(row, "outcome"));
    say("Health", cell(row, "health"));
    say("Why", cell(row, "why"));
    say("Claimed", moment(cell(row, "claimed")));
    say("Since", moment(cell(row, "since")));
    const link = cell(row, "link");
    if (/^https?:\/\//.test(link || "")) say("Web UI", make("a", link, { href: link, rel: "noopener noreferrer", target: "_blank" }));
    if (cell(row, "command")) say("By hand", make("pre", cell(row, "command"), { tabindex: "0" }));
    find("#detail").replaceChildren(list);
  };
  const go = (place) => {
    if (!shown.length) return;
    place = Math.max(0, Math.min(shown.length - 1, place));
    active = shown[place];
    const top = place * HIGH, room = grid.clientHeight - HEAD;
    if (top < grid.scrollTop) grid.scrollTop = top;
    else if (top + HIGH > grid.scrollTop + room) grid.scrollTop = top + HIGH - room;
    draw();
    detail();
  };
  const press = (event) => {
    if (event.target !== grid) return;
    const place = shown.indexOf(active), page = Math.max(1, Math.floor((grid.clientHeight - HEAD) / HIGH) - 1);
    const to = { ArrowDown: place + 1, ArrowUp: place - 1, PageDown: place + page, PageUp: place - page, Home: 0, End: shown.length - 1 }[event.key];
    if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    go(to);
  };

  const options = () => {
    for (const name of FILTERS) {
      const select = find("#f-" + name), chosen = select.value, counts = new Map();
      for (const number of ledger.columns[name]) counts.set(number, (counts.get(number) || 0) + 1);
      const found = [...counts].sort((a, b) => b[1] - a[1]);
      select.replaceChildren(make("option", "all", { value: "" }), ...found.map(([number, n]) => make("option", (ledger.texts[number] || "none") + " (" + counted(n) + ")", { value: number })));
      if (counts.has(Number(chosen)) && chosen !== "") select.value = chosen;
      select.disabled = found.length < 2;
    }
  };
  const heads = () => {
    find("#grid-head").replaceChildren(...SHOWN.map(([name, title]) => {
      const head = make("span", undefined, { role: "columnheader", "aria-sort": sort.by !== name ? "none" : sort.down ? "descending" : "ascending" });
      const button = make("button", title, { type: "button" });
      button.addEventListener("click", () => {
        sort = sort.by !== name ? { by: name, down: false } : sort.down ? { by: null, down: false } : { by: name, down: true };
        heads();
        choose();
        find("#grid-head").children[SHOWN.findIndex(([other]) => other === name)].firstChild.focus();
      });
      head.append(button);
      return head;
    }));
  };
  const refreshed = () => {
    options();
    choose();
    if (active >= 0) detail();
  };

  const start = () => {
    grid = find("#grid");
    body = find("#grid-body");
    find("#ledger-live").hidden = false;
    document.body.classList.add("scripted");
    let waiting = false;
    grid.addEventListener("scroll", () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => { waiting = false; draw(); });
    }, { passive: true });
    grid.addEventListener("keydown", press);
    body.addEventListener("click", (event) => {
      const line = event.target.closest(".r");
      if (line) { go(Number(line.dataset.place)); grid.focus({ preventScroll: true }); }
    });
    addEventListener("resize", draw);
    find("#filters").addEventListener("submit", (event) => event.preventDefault());
    let typed = 0;
    find("#search").addEventListener("input", () => {
      clearTimeout(typed);
      typed = setTimeout(() => { grid.scrollTop = 0; choose(); }, 60);
    });
    for (const name of FILTERS) find("#f-" + name).addEventListener("change", () => { grid.scrollTop = 0; choose(); });
    heads();
    refreshed();
  };

  // The served page: sections and rows come anew, at most once a second; what did not change stays as it is.
  const base = document.body.dataset.live;
  // How this page stands, and what the run is about between its records.
  let stands = "Live", doing = "";
  const say = (text, about = doing) => {
    [stands, doing] = [text, about];
    find("#live").textContent = doing ? stands + ". " + doing : stands;
  };
  // What somebody who listens has to know; that the page was refreshed is not.
  const tell = (text) => { say(text); if (find("#told").textContent !== text) find("#told").textContent = text; };
  const get = async (path) => {
    const answer = await fetch(base + path, { credentials: "same-origin", cache: "no-store" });
    if (!answer.ok) throw new Error((await answer.text()) || "status " + answer.status);
    return answer;
  };
  const before = new Map();
  const replace = (html) => {
    const news = new DOMParser().parseFromString(html, "text/html").body;
    const main = find("#main");
    const old = new Map([...main.children].filter((part) => part.id).map((part) => [part.id, part]));
    const kept = new Set();
    let place = null;
    for (const part of [...news.children]) {
      kept.add(part.id);
      const text = part.outerHTML;
      let now = old.get(part.id);
      if (now && before.get(part.id) === text) {
        // as it is
      } else if (now && part.id === "ledger") {
        // Rows come by themselves; what is printed is of the fragment.
        find("#ledger-print").replaceWith(document.importNode(find("#ledger-print", part), true));
      } else {
        const open = now ? [...now.querySelectorAll("details")].map((one) => one.open) : [];
        const fresh = document.importNode(part, true);
        fresh.querySelectorAll("details").forEach((one, index) => { one.open = Boolean(open[index]); });
        const stops = (within) => [...within.querySelectorAll("a, summary, button, input, pre, [tabindex]")];
        const focused = now ? stops(now).indexOf(document.activeElement) : -1;
        if (now) now.replaceWith(fresh);
        else if (place) place.after(fresh);
        else main.prepend(fresh);
        if (focused >= 0 && stops(fresh)[focused]) stops(fresh)[focused].focus({ preventScroll: true });
        now = fresh;
      }
      before.set(part.id, text);
      place = now;
    }
    for (const [id, part] of old) if (!kept.has(id)) part.remove();
  };
  const refresh = async () => {
    replace(await (await get("/body")).text());
    if (grid) {
      merge(await (await get("/ledger?since=" + ledger.seq)).json());
      refreshed();
    }
    say("Live, as of " + moment(Date.now()).slice(11));
  };
  let busy = false, again = false;
  const news = async () => {
    if (busy) { again = true; return; }
    busy = true;
    try { await refresh(); } catch (error) { tell("Cannot refresh: " + error.message); }
    setTimeout(() => { busy = false; if (again) { again = false; news(); } }, 1000);
  };
  const answer = async (event) => {
    const form = event.target.closest("form.answer");
    if (!form) return;
    event.preventDefault();
    const status = find(".answer-said", form), yes = event.submitter ? event.submitter.value === "yes" : false;
    if (!event.submitter) { status.textContent = "Choose Yes or No."; return; }
    const fields = {};
    form.querySelectorAll("[data-field]").forEach((input) => { if (input.value !== "") fields[input.dataset.field] = input.value; });
    const said = { question: Number(form.dataset.question), yes, word: form.elements.word ? form.elements.word.value : "", note: form.elements.note.value, form: fields };
    const buttons = form.querySelectorAll("button");
    buttons.forEach((button) => { button.disabled = true; });
    status.textContent = "Sent; waiting until it stands.";
    try {
      const reply = await fetch(base + "/answer", { method: "POST", credentials: "same-origin", headers: { "content-type": "application/json" }, body: JSON.stringify(said) });
      const text = await reply.text();
      status.textContent = text;
      status.className = reply.ok ? "answer-said good" : "answer-said bad";
      tell(text);
    } catch (error) {
      status.textContent = "Not known whether it arrived: " + error.message;
    }
    buttons.forEach((button) => { button.disabled = false; });
    news();
  };
  // A browser has six connections to a server: a page in a tab that nobody sees gives its own up.
  const whileSeen = (open) => {
    let stream = document.hidden ? undefined : open(false);
    document.addEventListener("visibilitychange", () => {
      if (stream) stream.close();
      stream = document.hidden ? undefined : open(true);
    });
  };
  const follow = () => {
    document.addEventListener("submit", answer);
    whileSeen(() => {
      const stream = new EventSource(base + "/events");
      stream.addEventListener("records", news);
      stream.addEventListener("progress", (event) => say(stands, JSON.parse(event.data)));
      stream.addEventListener("gone", (event) => { stream.close(); doing = ""; tell(event.data); });
      stream.addEventListener("error", () => { doing = ""; tell("Not connected; trying again"); });
      stream.addEventListener("open", () => { find("#told").textContent = ""; news(); });
      return stream;
    });
  };

  const data = find("#ledger-data");
  if (data) {
    merge(JSON.parse(data.textContent));
    data.remove();
    if (ledger.rows) start();
  } else if (base && find("#ledger")) {
    start();
    follow();
  } else if (base) {
    whileSeen((again) => {
      const stream = new EventSource(base + "events");
      stream.addEventListener("records", () => location.reload());
      // Who has followed a link is not called back.
      addEventListener("beforeunload", () => stream.close());
      if (again) location.reload();
      return stream;
    });
  }
})();
