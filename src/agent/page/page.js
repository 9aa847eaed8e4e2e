// The status page without a script shows all numbers; this keeps them fresh, shows times as the reader's own clock has
// them, copies commands, and follows what happens. What comes from elsewhere becomes text (textContent), never markup:
// the header fields of the page would not allow anything else (trusted types).
"use strict";

const FRESH_MS = 5000, FEED_ROWS = 100;
const parts = ["state", "findings", "hours", "tpsps", "providers", "reasons", "backlog", "expiry", "foot"];

function localTimes(root) {
  for (const time of root.querySelectorAll("time")) {
    const date = new Date(time.dateTime);
    time.textContent = date.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
    time.title = time.dateTime;
  }
}

function copyButtons(root) {
  if (!navigator.clipboard) return; // not over plain HTTP from another machine
  for (const command of root.querySelectorAll("code.command")) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.setAttribute("aria-label", "Copy " + command.textContent);
    button.addEventListener("click", () => {
      navigator.clipboard.writeText(command.textContent).then(() => { button.textContent = "Copied"; });
    });
    command.after(button);
  }
}

function dress(root) {
  localTimes(root);
  copyButtons(root);
}

// What somebody is at, with the keyboard or a selection, stays as it is until he is done.
function isInUse(element) {
  const selection = document.getSelection();
  return element.contains(document.activeElement) ||
    (selection !== null && !selection.isCollapsed && selection.intersectsNode(element));
}

const served = new Map(); // of each part what the server said last: times are another text here

function take(page) {
  for (const id of parts) {
    const old = document.getElementById(id), fresh = page.getElementById(id);
    if (old === null || fresh === null) continue;
    const text = fresh.outerHTML;
    if (served.get(id) === text || isInUse(old)) continue;
    served.set(id, text);
    if (id === "state") { // a live region: it is read out when its text changes
      if (old.textContent !== fresh.textContent) old.textContent = fresh.textContent;
      old.className = fresh.className;
      continue;
    }
    old.replaceChildren(...document.importNode(fresh, true).childNodes);
    dress(old);
  }
}

function refresh() {
  const request = new XMLHttpRequest();
  request.open("GET", "./");
  request.responseType = "document";
  request.timeout = FRESH_MS;
  request.onload = () => {
    if (request.status === 200 && request.responseXML !== null) take(request.responseXML);
  };
  request.onerror = request.ontimeout = () => {
    const state = document.getElementById("state");
    state.textContent = "The agent does not answer: systemctl status sendpost-agent";
    state.className = "trouble";
    served.delete("state");
  };
  request.onloadend = () => setTimeout(refresh, document.hidden ? 6 * FRESH_MS : FRESH_MS);
  request.send();
}

function row(event) {
  const line = document.createElement("tr");
  const reply = [event.smtp_code, event.smtp_enhanced_code, event.smtp_description].filter(Boolean).join(" ");
  for (const text of [new Date(event.timestamp).toLocaleTimeString(), event.event_type, event.recipient, event.tpsp, reply]) {
    const cell = document.createElement("td");
    cell.textContent = text || "";
    line.append(cell);
  }
  return line;
}

function follow() {
  const body = document.querySelector("#feed tbody"), state = document.getElementById("live-state");
  if (body === null) return;
  const source = new EventSource("live");
  source.onopen = () => { state.textContent = "Following; the newest first."; };
  source.onerror = () => { state.textContent = "Not followed now; tried again by itself."; };
  source.onmessage = (message) => {
    body.prepend(row(JSON.parse(message.data)));
    while (body.rows.length > FEED_ROWS) body.lastElementChild.remove();
  };
}

dress(document);
setTimeout(refresh, FRESH_MS);
follow();
