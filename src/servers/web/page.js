// The page of `skyring web`. No library: the platform has all of it.
"use strict";
const at = (id) => document.getElementById(id);

function state(id, text, kind) {
  const element = at(id);
  if (element.textContent !== text) element.textContent = text;
  element.className = `state ${kind ?? ""}`;
}

// A WebSocket that comes back by itself, after 0.5 s, 1 s, 2 s ... 15 s at most.
function connect(path, label, on) {
  const url = new URL(path, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const line = { socket: null, tries: 0 };
  line.send = (text) => {
    if (line.socket?.readyState !== WebSocket.OPEN) return false;
    line.socket.send(text);
    return true;
  };
  const open = () => {
    const socket = (line.socket = new WebSocket(url));
    socket.onopen = () => {
      line.tries = 0;
      state(label, "connected", "good");
      on.open?.();
    };
    socket.onmessage = (event) => on.message(event.data);
    socket.onclose = (event) => {
      on.close?.(event);
      const wait = Math.min(15, 0.5 * 2 ** line.tries++);
      state(label, `connection lost, again in ${wait} s`, "bad");
      setTimeout(open, wait * 1000);
    };
  };
  open();
  return line;
}

// --- counters

const history = { requests: [], messages: [] };
let before = null;

function rate(name, now, seconds) {
  const value = Math.max(0, (now[name] - before[name]) / seconds);
  at(name).textContent = value < 10 ? value.toFixed(1).replace(".0", "") : Math.round(value).toLocaleString("en");
  const past = history[name];
  past.push(value);
  if (past.length > 60) past.shift();
  const most = Math.max(1, ...past);
  const points = past.map((v, i) => `${(120 - 2 * (past.length - 1 - i)).toFixed(1)},${(26 - (24 * v) / most).toFixed(1)}`);
  at(`${name}-line`).firstElementChild.setAttribute("points", points.join(" "));
}

function duration(seconds) {
  const [days, hours, minutes] = [86400, 3600, 60].map((unit, i, units) => Math.floor((i ? seconds % units[i - 1] : seconds) / unit));
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${Math.floor(seconds % 60)} s` : `${Math.floor(seconds)} s`;
}

function show(now) {
  at("connections").textContent = now.connections.toLocaleString("en");
  at("services").textContent = now.services.toLocaleString("en");
  at("up").textContent = duration(now.up_ms / 1000);
  const seconds = before ? (now.up_ms - before.up_ms) / 1000 : 0;
  if (seconds > 0) {
    rate("requests", now, seconds);
    rate("messages", now, seconds);
    const busy = (now.busy_ms - before.busy_ms) / (seconds * 1000 * now.cores);
    at("busy").textContent = `${now.cores}, ${Math.max(0, Math.round(100 * busy))} %`;
  }
  before = now;
}

const live = new EventSource("live");
live.onopen = () => state("live-state", "live", "good");
live.onmessage = (event) => show(JSON.parse(event.data));
live.onerror = () => {
  before = null;
  state("live-state", "connection lost, trying again", "bad");
};

// --- chat

const me = { name: "", room: "", wanted: "", asked: "" };
const users = new Set();

function line(kind, text, parts = {}) {
  const log = at("log");
  const row = document.createElement("p");
  row.className = kind;
  if (parts.at) {
    const time = document.createElement("time");
    time.dateTime = parts.at;
    time.textContent = new Date(parts.at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
    row.append(time);
  }
  if (parts.who) {
    const who = document.createElement("strong");
    who.textContent = parts.who;
    row.append(who, " ");
  }
  row.append(text);
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  log.append(row);
  while (log.childElementCount > 500) log.firstElementChild.remove();
  if (atEnd) log.scrollTop = log.scrollHeight;
}

function showUsers(count) {
  const names = [...users].sort((a, b) => a.localeCompare(b));
  at("users").replaceChildren(...names.map((name) => {
    const item = document.createElement("li");
    if (name === me.name) {
      item.className = "me";
      item.textContent = `${name} (you)`;
      return item;
    }
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.title = `Whisper to ${name}`;
    button.onclick = () => {
      at("text").value = `/w ${name} `;
      at("text").focus();
    };
    item.append(button);
    return item;
  }));
  at("count").textContent = me.room ? `(${count ?? users.size})` : "";
}

function inRoom(room) {
  me.room = room;
  if (!room) users.clear();
  at("text").disabled = at("send").disabled = !room;
  at("text").placeholder = room ? `Say something in ${room}` : "Enter a room, then say something";
  at("leave").hidden = !room;
  at("enter").textContent = room ? "Change" : "Enter";
  showUsers();
}

// Commands that wait for their answer, first to last: the server takes one after the other.
const asked = [];
function ask(word, body = "") {
  const sent = chat.send(body ? `${word} ${body}` : word);
  if (sent) asked.push({ word, body });
  return sent;
}
function answered(word) {
  return asked[0]?.word === word ? asked.shift() : undefined;
}

// Errors that answer no command.
const spontaneous = ["room_lost", "unavailable", "bad_frame", "silent"];
const hear = {
  welcome(event) {
    me.name = event.user;
    line("note", `You are ${event.user}.`);
    if (me.asked && me.asked !== me.name) ask("NICK", me.asked);
    if (me.wanted) ask("JOIN", me.wanted);
  },
  room_joined(event) {
    answered("JOIN");
    me.wanted = event.room;
    users.clear();
    event.users.forEach((name) => users.add(name));
    inRoom(event.room);
    showUsers(event.count);
    at("text").focus();
    ask("LIST");
  },
  join(event) {
    users.add(event.user);
    line("note", event.message);
    showUsers();
  },
  leave(event) {
    users.delete(event.user);
    line("note", event.message);
    showUsers();
  },
  room_left(event) {
    answered("LEAVE");
    line("note", `You left ${event.room}.`);
    inRoom("");
  },
  nick_change(event) {
    if (event.old_name === me.name) {
      answered("NICK");
      me.name = event.new_name;
    }
    if (users.delete(event.old_name)) users.add(event.new_name);
    line("note", event.message);
    showUsers();
  },
  message: (event) => line("said", event.text, { who: event.user, at: event.at }),
  sent: (event) => line("own", answered("MSG")?.body ?? "", { who: me.name, at: event.at }),
  whisper: (event) => line("whisper", event.text, { who: `${event.user} whispers`, at: event.at }),
  whispered(event) {
    const whisper = answered("WHISPER")?.body.replace(/^\S+\s/, "") ?? "";
    line("whisper own", whisper, { who: `you whisper to ${event.to}` });
  },
  list(event) {
    answered("LIST");
    at("rooms").replaceChildren(...event.rooms.map(({ room, users }) => new Option(`${users} here`, room)));
  },
  error(event) {
    const about = spontaneous.includes(event.code) ? undefined : asked.shift();
    if (about?.word === "MSG") at("text").value ||= about.body; // to be said again
    if (about?.word === "JOIN") me.wanted = me.room;
    if (event.code === "room_lost") inRoom("");
    line("error", event.message);
  },
};

const chat = connect("chat", "chat-state", {
  message(text) {
    const event = JSON.parse(text);
    hear[event.type]?.(event);
  },
  close() {
    asked.length = 0;
    if (me.room) line("error", "The connection was lost; you will be back in the room when it is there again.");
    inRoom("");
  },
});

at("who").onsubmit = (submit) => {
  submit.preventDefault();
  const name = at("name").value.trim();
  const room = at("room").value.trim();
  if (name && name !== me.name) {
    me.asked = name;
    ask("NICK", name);
  }
  if (room && room !== me.room) {
    me.wanted = room;
    ask("JOIN", room);
  }
};
at("leave").onclick = () => {
  me.wanted = "";
  ask("LEAVE");
};
at("say").onsubmit = (submit) => {
  submit.preventDefault();
  const text = at("text").value;
  if (!text.trim()) return;
  const whisper = /^\/w\s+(\S+)\s+([^]+)$/.exec(text);
  const sent = whisper ? ask("WHISPER", `${whisper[1]} ${whisper[2]}`) : ask("MSG", text);
  if (!sent) return line("error", "Not sent: there is no connection.");
  at("text").value = "";
};

// --- echo

const echoes = { sent: 0, back: 0, since: 0, times: [] };
const echo = connect("ws", "echo-state", {
  message(text) {
    const [when, ...rest] = text.split("|");
    echoes.times.push(performance.now() - Number(when));
    if (++echoes.back < echoes.sent) return;
    const times = echoes.times.sort((a, b) => a - b);
    const middle = times[times.length >> 1];
    at("echo-out").textContent = times.length === 1
      ? `${rest.join("|")} — back after ${middle.toFixed(2)} ms`
      : `${times.length} came back, all within ${times.at(-1).toFixed(2)} ms, half of them within ${middle.toFixed(2)} ms`;
    echoes.times = [];
  },
  close() {
    Object.assign(echoes, { sent: 0, back: 0, times: [] });
  },
});
function sendEchoes(count) {
  for (let i = 0; i < count; i++) {
    if (!echo.send(`${performance.now()}|${at("echo-text").value}`)) {
      at("echo-out").textContent = "Not sent: there is no connection.";
      return;
    }
    echoes.sent++;
  }
}
at("echo-form").onsubmit = (submit) => {
  submit.preventDefault();
  sendEchoes(1);
};
at("echo-many").onclick = () => sendEchoes(100);

// --- API

at("api-form").onsubmit = async (submit) => {
  submit.preventDefault();
  const out = at("api-out");
  try {
    const answer = await fetch("api/data", { method: "POST", headers: { "content-type": "application/json" }, body: at("api-body").value });
    out.textContent = await answer.text();
    out.className = answer.ok ? "" : "bad";
  } catch (error) {
    out.textContent = `No answer: ${error.message}`;
    out.className = "bad";
  }
};
