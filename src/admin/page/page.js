"use strict";
// Asks the daemon every two seconds and shows what it says. Whatever comes from it is put into the page as text.
(() => {
  const EVERY = 2000, CERTIFICATES_EVERY = 15, SHOWN_MAX = 250, SEARCHED_MAX = 5000, ROUTES_MAX = 200, STEPS = 300;
  const $ = (id) => document.getElementById(id);
  const whole = new Intl.NumberFormat("en");
  const clock = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
  const day = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium" });
  const KEPT = "smartproxy-token";

  let token = sessionStorage.getItem(KEPT) || "";
  let mayChange = false, paused = false, timer = 0, running = false, ticks = 0, certificatesAt = 0;
  let process = 0, steps = [], sort = { column: "id", reverse: true }, hold = false;

  // ---- Numbers for people ----
  const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  const bytes = (value) => {
    let unit = 0;
    while (value >= 1024 && unit < UNITS.length - 1) { value /= 1024; unit += 1; }
    return (unit === 0 || value >= 100 ? whole.format(Math.round(value)) : value.toFixed(1)) + "\u00a0" + UNITS[unit];
  };
  const count = (value) => whole.format(value);
  const rate = (value) => (value === 0 ? "0" : value < 10 ? value.toFixed(1) : whole.format(Math.round(value)));
  const time = (seconds) => {
    seconds = Math.max(0, Math.floor(seconds));
    const [m, h, d] = [Math.floor(seconds / 60), Math.floor(seconds / 3600), Math.floor(seconds / 86400)];
    if (seconds < 60) return seconds + "s";
    if (m < 60) return m + "m " + (seconds % 60) + "s";
    return h < 24 ? h + "h " + (m % 60) + "m" : d + "d " + (h % 24) + "h";
  };
  const more = (shown, all) => (all > shown ? [["small", "", "and " + count(all - shown) + " more"]] : []);

  // ---- Putting things into the page, only where they have changed ----
  const say = (element, text) => { if (element.textContent !== text) element.textContent = text; };
  // Parts are [tag, class, text, exact number].
  const put = (element, parts) => {
    const now = JSON.stringify(parts);
    if (element.shown === now) return;
    element.shown = now;
    element.replaceChildren(...parts.map(([tag, kind, text, exact]) => {
      if (tag === "") return document.createTextNode(text);
      const made = document.createElement(tag);
      if (kind) made.className = kind;
      if (exact !== undefined) made.value = String(exact);
      // A name that is too long for its line is broken at a dot, never inside a word, and an address not at all.
      const pieces = kind === "dots" || kind.endsWith(" dots") ? text.split(/(?<=\.)(?=.*[a-z])/i) : [text];
      made.append(...pieces.flatMap((piece, place) => (place ? [document.createElement("wbr"), piece] : [piece])));
      return made;
    }));
  };
  const number = (value, text) => [["data", "", text === undefined ? count(value) : text, value]];
  const plain = (text) => [["", "", text]];

  // Rows keep their elements, so that focus and selection stay where they are.
  const fill = (body, items, key, cells, still) => {
    const known = body.rowsByKey || (body.rowsByKey = new Map());
    const wanted = new Set();
    items.forEach((item, place) => {
      const name = String(key(item));
      wanted.add(name);
      const content = cells(item);
      let row = known.get(name);
      if (!row) {
        row = document.createElement("tr");
        row.append(...content.map(({ head, kind }) => {
          const cell = document.createElement(head ? "th" : "td");
          if (head) cell.scope = "row";
          if (kind) cell.className = kind;
          return cell;
        }));
        known.set(name, row);
        body.append(row);
      }
      content.forEach(({ parts, own }, column) => (own ? own(row.cells[column]) : put(row.cells[column], parts)));
      if (!still && body.rows[place] !== row) body.insertBefore(row, body.rows[place] || null);
    });
    for (const [name, row] of known) {
      if (wanted.has(name)) continue;
      if (row.contains(document.activeElement)) {
        const next = row.nextElementSibling || row.previousElementSibling;
        ((next && next.querySelector("button")) || $("filter")).focus();
      }
      row.remove();
      known.delete(name);
    }
  };
  const nothing = (body, text, isEmpty) => {
    let note = body.parentElement.querySelector("caption");
    if (!isEmpty) { if (note) note.remove(); return; }
    if (!note) {
      note = document.createElement("caption");
      note.className = "none";
      note.style.captionSide = "bottom";
      note.style.textAlign = "left";
      body.parentElement.prepend(note);
    }
    say(note, text);
  };

  // ---- Asking ----
  class Refused extends Error {
    constructor(status, text, after) { super(text); this.status = status; this.after = after; }
  }
  const ask = async (path, method = "GET") => {
    const headers = token ? { authorization: "Bearer " + token } : {};
    const answer = await fetch(path, { method, headers, cache: "no-store", credentials: "omit", redirect: "error" });
    if (!answer.ok) throw new Refused(answer.status, (await answer.text()).trim(), answer.headers.get("retry-after"));
    mayChange = answer.headers.get("smartproxy-may") === "change";
    return answer;
  };
  const json = async (path) => (await ask(path)).json();

  const trouble = (text) => { say($("trouble"), text); $("trouble").hidden = !text; };
  const showToken = (note) => {
    $("token-form").hidden = false;
    $("token-forget").hidden = !token;
    if (note) say($("token-note"), note);
  };
  const failed = (error) => {
    if (error.status === 401) {
      const wrong = token !== "";
      forget();
      $("main").hidden = true;
      for (const id of ["version", "state", "facts"]) say($(id), "");
      document.title = "smartproxy";
      showToken(wrong ? "That is not the token of this daemon." : "");
      trouble("");
      if (document.activeElement === document.body) $("token").focus();
      return 0;
    }
    if (error.status === 429) {
      const wait = Math.max(1, Number(error.after) || 1);
      trouble("The daemon asks to wait for " + wait + " s: " + error.message + ".");
      return wait * 1000;
    }
    if (error.status !== undefined) trouble("The daemon refuses: " + error.message);
    else trouble("The daemon does not answer. What is shown is as of the last answer; it is asked again.");
    return EVERY;
  };
  const forget = () => { token = ""; mayChange = false; sessionStorage.removeItem(KEPT); };

  // ---- Traffic ----
  const draw = (figure, values) => {
    const peak = Math.max(...values, 1e-9), from = STEPS - values.length;
    const points = values.map((value, place) => [from + place + 0.5, 46 - (value / peak) * 43]);
    const line = points.map(([x, y]) => x.toFixed(1) + " " + y.toFixed(1)).join("L");
    const [area, stroke] = figure.querySelectorAll("path");
    const last = STEPS - 0.5;
    area.setAttribute("d", values.length ? "M" + (from + 0.5) + " 48L" + line + "L" + last + " 48Z" : "");
    stroke.setAttribute("d", values.length ? "M" + line : "");
    return Math.max(0, ...values);
  };
  const traffic = ({ totals, samples, window_seconds: back }) => {
    steps = steps.concat(samples).slice(-STEPS);
    say($("window"), back < 1 ? "" : "the last " + time(back) + (back < 299 ? ", since the start" : ""));
    for (const figure of $("sparks").children) {
      const key = figure.dataset.key, isLevel = key === "active", isBytes = key.endsWith("_bytes");
      const form = isBytes ? bytes : isLevel ? count : rate;
      const values = steps.map((step) => (isLevel ? step.active : step[key] / Math.max(step.seconds, 0.001)));
      const peak = draw(figure, values);
      const last = values.slice(-3), now = last.reduce((a, b) => a + b, 0) / Math.max(1, last.length);
      const [shown, sum] = [figure.querySelector(".now"), figure.querySelector(".sum")];
      if (isLevel) {
        put(shown, number(totals.active));
        put(sum, plain("most " + count(peak)));
      } else {
        put(shown, [["", "", form(now)], ["small", "", isBytes ? "/s" : " per second"]]);
        put(sum, [...number(totals[key], isBytes ? bytes(totals[key]) : count(totals[key])), ["", "", " in all, most " + form(peak) + "/s"]]);
      }
    }
  };

  // ---- How connections end ----
  const causes = ({ causes: list, totals, window_seconds: back }) => {
    const most = Math.max(1, ...list.map((one) => one.count));
    put($("causes-count"), [...number(totals.closed), ["", "", " since the start"]]);
    say($("causes").tHead.rows[0].cells[1], back < 1 ? "Of late" : "In " + time(Math.min(300, back)));
    nothing($("causes").tBodies[0], "None has ended yet.", list.length === 0);
    fill($("causes").tBodies[0], list, (one) => one.cause, (one) => [
      { head: true, kind: "wrap", own: (cell) => {
        if (!cell.firstChild) {
          const bar = document.createElement("span");
          bar.className = "bar" + (one.failure ? " fails" : "");
          const meaning = document.createElement("small");
          const text = one.meaning.replaceAll("`", "");
          meaning.textContent = one.failure ? text : "";
          cell.append(one.cause, bar, meaning);
          cell.title = text;
        }
        cell.querySelector(".bar").style.width = ((one.count / most) * 100).toFixed(1) + "%";
      } },
      { kind: "n", parts: number(one.count) },
      { kind: "n dim", parts: number(one.total) },
    ]);
  };

  // ---- Routes ----
  // A target is one for all routes that have it.
  const standing = ({ target, in_flight: open, set_aside: aside }) => [
    ["div", (aside ? "mono bad aside" : "mono up") + " dots", target],
    ...(aside ? [["small", "bad", "set aside " + time(aside.seconds) + " ago: " + aside.cause]] : []),
    ...(open ? [["small", "", count(open) + " open, of all routes"]] : []),
  ];
  const targetParts = (route) => {
    const own = route.action === "forward" ? route.targets.flatMap(standing).concat(more(route.targets.length, route.target_count))
      : [["span", "dim", route.action === "redirect" ? "redirects by itself" : "answers by itself"]];
    return route.asked.length ? [...own, ["small", "", "asks first"], ...route.asked.flatMap(standing)] : own;
  };
  const routes = ({ matched, routes: list }) => {
    const aside = list.reduce((sum, route) => sum + route.set_aside, 0);
    say($("routes-count"), count(matched) + (matched > list.length ? ", of which the first " + count(list.length) + " are shown" : "") +
      (aside ? "; targets set aside: " + count(aside) : ""));
    fill($("routes").tBodies[0], list, (route) => route.name, (route) => {
      const what = [route.protocol === "tcp" ? "TCP" : "HTTP", route.tls === "plain" ? "" : route.tls].filter(Boolean).join(", ");
      const asks = route.domains.concat(route.path ? [route.path] : []).join(" ");
      return [
        { head: true, kind: "wrap", parts: [["", "", route.name], ["small", "", what], ...(asks ? [["small", "dots", asks]] : []), ...more(route.domains.length, route.domain_count)] },
        { parts: [...route.listeners.slice(0, 4).map((address) => ["div", "mono", address]), ...more(Math.min(4, route.listeners.length), route.listener_count)] },
        { kind: "wrap", parts: targetParts(route) },
        { kind: "n", parts: number(route.active) },
        { kind: "n", parts: number(route.requests) },
        { kind: "n", parts: [["data", route.errors ? "bad" : "", count(route.errors), route.errors]] },
        { kind: "n", parts: number(route.received_bytes, bytes(route.received_bytes)) },
        { kind: "n", parts: number(route.sent_bytes, bytes(route.sent_bytes)) },
      ];
    });
  };

  // ---- Live connections ----
  const COLUMNS = [
    ["id", "Number", ""], ["client", "Client", ""], ["route", "Route", ""], ["host", "Host", ""], ["target", "Target", ""],
    ["state", "State", ""], ["age", "Age", "n"], ["in-rate", "In", "n"], ["out-rate", "Out", "n"], ["protocol", "Speaks", ""],
  ];
  for (const [column, name, kind] of COLUMNS) {
    const [head, button] = [document.createElement("th"), document.createElement("button")];
    head.scope = "col";
    head.className = kind;
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", () => {
      sort = { column, reverse: sort.column === column ? !sort.reverse : kind === "n" || column === "id" };
      order();
      soon();
    });
    head.append(button);
    $("live").tHead.rows[0].append(head);
  }
  {
    const head = document.createElement("th");
    head.scope = "col";
    const name = document.createElement("span");
    name.className = "unseen";
    name.textContent = "Kill";
    head.append(name);
    $("live").tHead.rows[0].append(head);
  }
  const order = () => COLUMNS.forEach(([column, name], place) => {
    const head = $("live").tHead.rows[0].cells[place], is = sort.column === column;
    if (is) head.setAttribute("aria-sort", sort.reverse ? "descending" : "ascending"); else head.removeAttribute("aria-sort");
    head.firstChild.textContent = name + (is ? (sort.reverse ? " \u2193" : " \u2191") : "");
  });
  order();

  const killCell = (id) => (cell) => {
    const is = cell.firstChild;
    if (!mayChange) { if (is) is.remove(); return; }
    if (is) return;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "kill";
    button.textContent = "Kill";
    button.setAttribute("aria-label", "Kill connection " + id);
    let sure = 0;
    const calm = () => {
      clearTimeout(sure);
      sure = 0;
      button.classList.remove("sure");
      button.textContent = "Kill";
      button.setAttribute("aria-label", "Kill connection " + id);
    };
    button.addEventListener("click", async () => {
      if (!sure) {
        button.classList.add("sure");
        button.textContent = "Really?";
        button.setAttribute("aria-label", "Really kill connection " + id + "?");
        sure = setTimeout(calm, 4000);
        return;
      }
      calm();
      try {
        await ask("/connections/" + id + "/kill", "POST");
        say($("said"), "Connection " + id + " is killed.");
      } catch (error) {
        say($("said"), error.status === 404 ? "Connection " + id + " had ended by itself." : "Connection " + id + " is not killed: " + error.message);
        if (error.status !== 404) trouble("Connection " + id + " is not killed: " + error.message);
      }
      soon();
    });
    cell.append(button);
  };
  const pace = (value) => (value ? [["small", "", bytes(value) + "/s"]] : []);
  const searched = (one) => [one.id, one.client, one.peer, one.listener, one.route, one.host, one.target, one.state, one.protocol].join(" ").toLowerCase();
  const connections = ({ matched, connections: list }) => {
    const wanted = $("filter").value.trim().toLowerCase();
    const words = wanted ? wanted.split(/\s+/) : [];
    const found = words.length ? list.filter((one) => words.every((word) => searched(one).includes(word))) : list;
    const shown = found.slice(0, SHOWN_MAX);
    let text = count(matched);
    if (words.length) {
      text = count(found.length) + " of " + count(matched) + " match";
      if (matched > list.length) text += " (of the first " + count(list.length) + ", as sorted)";
    }
    if (shown.length < found.length || (!words.length && matched > shown.length)) text += "; the first " + count(shown.length) + " are shown";
    say($("connections-count"), text);
    say($("kill-note"), mayChange ? "" : "To kill connections here, the daemon needs a token ([admin] token_file). smartproxy kill needs none.");
    $("kill-note").hidden = mayChange;
    nothing($("live").tBodies[0], words.length ? "None matches." : "None at the moment.", shown.length === 0);
    const body = $("live").tBodies[0];
    fill(body, shown, (one) => one.id, (one) => {
      const speaks = one.protocol + (one.tls ? ", TLS " + one.tls.version : "");
      return [
        { head: true, parts: plain(String(one.id)) },
        { kind: "mono", parts: [["", "", one.client], ...(one.peer ? [["small", "", "by " + one.peer]] : [])] },
        { parts: plain(one.route) },
        { kind: "wrap", parts: [["span", "dots", one.host || ""]] },
        { kind: "mono wrap", parts: [["span", "dots", one.target || ""]] },
        { parts: [["", "", one.state], ["small", "", "for " + time(one.state_seconds)]] },
        { kind: "n", parts: plain(time(one.age_seconds)) },
        { kind: "n", parts: [["", "", bytes(one.bytes_in)], ...pace(one.bytes_in_per_second)] },
        { kind: "n", parts: [["", "", bytes(one.bytes_out)], ...pace(one.bytes_out_per_second)] },
        { parts: [["", "", speaks], ...(one.tls && one.tls.group ? [["small", "", one.tls.group]] : [])] },
        { own: killCell(one.id) },
      ];
    }, hold || body.contains(document.activeElement));
  };
  // Rows do not jump away under the pointer.
  $("live").tBodies[0].addEventListener("pointerenter", () => { hold = true; });
  $("live").tBodies[0].addEventListener("pointerleave", () => { hold = false; });

  // ---- Certificates and configuration ----
  let expired = [];
  const certificates = ({ matched, certificates: list }) => {
    expired = list.filter((one) => one.expires_in_seconds < 0);
    say($("certificates-count"), matched > list.length ? count(matched) + ", of which the first to expire are shown" : count(matched));
    nothing($("certificates").tBodies[0], "No route terminates TLS.", list.length === 0);
    let number = 0;
    fill($("certificates").tBodies[0], list, () => number++, (one) => {
      const days = one.expires_in_seconds / 86400;
      const kind = days < 0 ? "bad" : days < 14 ? "warn" : "";
      const users = one.routes.concat(one.admin ? ["this page"] : []).join(", ");
      return [
        { head: true, kind: "wrap", parts: [["span", "dots", one.names.join(" ") || "no name"], ...more(one.names.length, one.name_count), ["small", "", one.source]] },
        { kind: "wrap", parts: [["", "", users], ...more(one.routes.length, one.route_count)] },
        { parts: plain(day.format(new Date(one.not_after * 1000))) },
        { kind: "n", parts: [["span", kind, days < 0 ? "expired" : days < 2 ? time(one.expires_in_seconds) : count(Math.floor(days)) + " days"]] },
      ];
    });
  };
  const NAMED_MAX = 3;
  const named = (list, say, rest) => list.slice(0, NAMED_MAX).map(say).concat(list.length > NAMED_MAX ? [rest(count(list.length - NAMED_MAX))] : []);
  const why = ({ target, set_aside: aside }) => target + (aside ? " (" + aside.cause + ", " + time(aside.seconds) + " ago)" : "");
  const notices = (now, { routes: list }) => {
    const down = list.filter((route) => route.target_count > 0 && route.set_aside === route.target_count);
    const mute = list.filter((route) => route.asked.length > 0 && route.asked.every((one) => one.set_aside));
    const all = (targets, number) => targets.slice(0, NAMED_MAX).map(why).join(", ") + (number > NAMED_MAX ? " and " + count(number - NAMED_MAX) + " more" : "");
    const lines = named(down, (route) => "Route " + route.name + ": every target is set aside: " + all(route.targets, route.target_count),
      (left) => "And so it is with " + left + " more routes.");
    lines.push(...named(mute, (route) => "Route " + route.name + ": whom it asks first is set aside: " + all(route.asked, route.asked.length),
      (left) => "And so it is with " + left + " more routes."));
    lines.push(...named(expired, (one) => "Certificate of " + (one.names.join(" ") || one.source) + ": expired.", (left) => "And " + left + " more certificates that have expired."));
    if (now.refused_reload) lines.push("The last reload was refused; its faults stand under Configuration, and what ran before runs on.");
    lines.push(...named(now.leak_suspects, (one) => "Leak suspect (" + one.kind + ") for " + time(one.seconds) + ": " + one.what, (left) => "Leak suspects: " + left + " more, in /status."));
    put($("notices"), lines.map((line) => ["p", "", line]));
    $("notices").hidden = lines.length === 0;
  };
  const status = (now) => {
    say($("version"), now.version);
    say($("state"), now.state);
    $("state").className = "state " + (now.state === "ready" ? "good" : "warn");
    say($("facts"), "generation " + count(now.generation) + ", up " + time(now.uptime_seconds) + ", process " + now.pid + ", " +
      count(now.connections) + " of " + count(now.max_connections) + " connections");
    document.title = "smartproxy: " + now.state + ", " + count(now.connections) + " live";
    const last = now.last_reload;
    const facts = [
      ["File", now.config, "mono"],
      ["Generation", count(now.generation) + ", since " + clock.format(new Date(now.generation_assembled_seconds * 1000)), ""],
      ["Last reload", last ? last.result + " " + time(last.age_seconds) + " ago" : "none since the start", last && last.result === "refused" ? "bad" : ""],
      ["Listens on", now.listeners.slice(0, 12).join(", ") + (now.listeners.length > 12 ? " and " + count(now.listeners.length - 12) + " more" : ""), "mono"],
      ["Limit", count(now.max_connections) + " connections", ""],
    ];
    put($("config"), facts.flatMap(([name, text, kind]) => [["dt", "", name], ["dd", kind, text]]));
    $("faults").hidden = !now.refused_reload;
    say($("faults"), now.refused_reload || "");
  };

  // ---- The round ----
  const round = async () => {
    const limit = $("filter").value.trim() ? SEARCHED_MAX : SHOWN_MAX;
    const query = "limit=" + limit + "&sort=" + sort.column + (sort.reverse ? "&reverse=yes" : "");
    // Alone at first: a wrong token is shown once, not once for each of the others.
    const now = await json("/status");
    if (process !== now.pid) {
      // Another daemon counts its samples anew.
      process = now.pid;
      steps = [];
      certificatesAt = 0;
    }
    const after = steps.length ? steps[steps.length - 1].number : 0;
    const [past, all, live] = await Promise.all([
      json("/history?after=" + after), json("/routes?limit=" + ROUTES_MAX), json("/connections?" + query),
    ]);
    if (ticks >= certificatesAt) {
      certificates(await json("/certificates?limit=100"));
      certificatesAt = ticks + CERTIFICATES_EVERY;
    }
    ticks += 1;
    $("main").hidden = false;
    $("token-open").hidden = !token;
    if (token && !$("token-form").contains(document.activeElement)) $("token-form").hidden = true;
    if (!mayChange || !token) $("token-form").hidden = true;
    status(now);
    notices(now, all);
    traffic(past);
    causes(past);
    routes(all);
    connections(live);
    trouble("");
  };
  const turn = async () => {
    clearTimeout(timer);
    if (running) { timer = setTimeout(turn, 50); return; }
    running = true;
    let wait = EVERY;
    try { await round(); } catch (error) { wait = failed(error); } finally { running = false; }
    document.documentElement.dataset.round = String(Number(document.documentElement.dataset.round || 0) + 1);
    if (wait > 0 && !paused && !document.hidden) timer = setTimeout(turn, wait);
  };
  const soon = () => { turn(); };

  $("pause").addEventListener("click", () => {
    paused = !paused;
    $("pause").setAttribute("aria-pressed", String(paused));
    if (paused) clearTimeout(timer); else soon();
  });
  $("filter").addEventListener("input", soon);
  $("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    token = $("token").value.trim();
    $("token").value = "";
    sessionStorage.setItem(KEPT, token);
    $("token-form").hidden = true;
    certificatesAt = 0;
    soon();
  });
  $("token-forget").addEventListener("click", () => { forget(); location.reload(); });
  $("token-open").addEventListener("click", () => { showToken(""); $("token").focus(); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden && !paused) soon(); });
  soon();
})();
