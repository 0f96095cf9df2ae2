// Two people use the page of `skyring web` by keyboard. node page.cjs URL CHROMIUM [SCREENSHOTS]
"use strict";
const assert = require("node:assert/strict");
const { chromium } = require("playwright-core");
const [url, executablePath, pictures] = process.argv.slice(2);
const args = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

async function main() {
  const browser = await chromium.launch({ executablePath, args });
  const context = await browser.newContext({ viewport: { width: 1100, height: 1250 }, ignoreHTTPSErrors: true });
  context.setDefaultTimeout(15000);
  const complaints = [];
  const requested = new Set();
  const open = async (name) => {
    const page = await context.newPage();
    page.on("console", (message) => complaints.push(`${name}: ${message.text()}`));
    page.on("pageerror", (error) => complaints.push(`${name}: ${error.message}`));
    page.on("request", (request) => requested.add(new URL(request.url()).host));
    await page.goto(url);
    await page.waitForFunction(() => document.getElementById("chat-state").textContent === "connected");
    return page;
  };
  const text = (page, selector) => page.innerText(selector);
  const enter = async (page, name, room) => {
    await page.fill("#name", name);
    await page.press("#name", "Tab");
    assert.equal(await page.evaluate(() => document.activeElement.id), "room");
    await page.fill("#room", room);
    await page.press("#room", "Enter");
    await page.waitForSelector(`#users .me >> text=${name}`);
    // Who has entered can say something at once.
    await page.waitForFunction(() => document.activeElement.id === "text");
  };

  const ann = await open("ann");
  const bob = await open("bob");
  assert.equal(await text(ann, "h1"), "Welcome to skyring");
  await enter(ann, "ann", "lobby");
  await enter(bob, "bob", "lobby");
  await ann.waitForSelector("#users button >> text=bob");
  assert.match(await text(ann, "#here-title"), /\(2\)/);

  // What is said is text, whatever it looks like.
  await ann.keyboard.type("hello <b>bob</b> & <script>alert(1)</script>");
  await ann.keyboard.press("Enter");
  await bob.waitForSelector("#log .said >> text=hello <b>bob</b> & <script>alert(1)</script>");
  await ann.waitForSelector("#log .own >> text=hello <b>bob</b>");
  assert.equal(await ann.inputValue("#text"), "");

  await bob.keyboard.type("/w ann between us");
  await bob.keyboard.press("Enter");
  await ann.waitForSelector("#log .whisper >> text=between us");
  await bob.waitForSelector("#log .whisper.own >> text=between us");

  // A name that is taken: said, and nothing is lost.
  await bob.fill("#name", "Ann");
  await bob.press("#name", "Enter");
  await bob.waitForSelector("#log .error >> text=Ann is taken");

  // The history for who comes later, and the list of rooms.
  const eve = await open("eve");
  await enter(eve, "eve", "lobby");
  await eve.waitForSelector("#log .said >> text=hello <b>bob</b>");
  assert.ok((await eve.$$eval("#rooms option", (options) => options.map((o) => o.value))).includes("lobby"));
  await eve.close();
  await ann.waitForSelector("#log .note >> text=eve left the room");

  await ann.fill("#echo-text", "around|and back");
  await ann.press("#echo-text", "Enter");
  await ann.waitForFunction(() => /around\|and back — back after [\d.]+ ms/.test(document.getElementById("echo-out").textContent));
  await ann.click("#echo-many");
  await ann.waitForFunction(() => document.getElementById("echo-out").textContent.startsWith("100 came back"));

  await ann.focus("#api button");
  await ann.keyboard.press("Enter");
  await ann.waitForFunction(() => document.getElementById("api-out").textContent.includes('"sum":14'));
  await ann.fill("#api-body", "{");
  const refused = complaints.length;
  await ann.click("#api button");
  await ann.waitForFunction(() => document.getElementById("api-out").className === "bad");
  await ann.waitForTimeout(100);
  complaints.splice(refused); // the browser notes the 400 that was asked for

  await ann.waitForFunction(() => document.getElementById("live-state").textContent === "live");
  await ann.waitForFunction(() => Number(document.getElementById("connections").textContent) >= 2);
  await ann.waitForFunction(() => document.querySelector("#messages-line polyline").getAttribute("points")?.split(" ").length >= 3);
  if (pictures) await ann.screenshot({ path: `${pictures}/wide.png`, fullPage: true });

  // A phone: nothing is wider than the screen.
  await bob.setViewportSize({ width: 360, height: 780 });
  const widths = await bob.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
  assert.ok(widths[0] <= widths[1], `${widths}`);
  if (pictures) await bob.screenshot({ path: `${pictures}/phone.png`, fullPage: true });

  // Each control has a name that can be read out.
  const nameless = await ann.$$eval("input, textarea, button", (all) =>
    all.filter((one) => !(one.labels?.length || one.textContent.trim())).map((one) => one.id));
  assert.deepEqual(nameless, []);

  await ann.click("#leave");
  await ann.waitForSelector("#log .note >> text=You left lobby.");
  await bob.waitForSelector("#log .note >> text=ann left the room");
  await browser.close();
  assert.deepEqual(complaints, []);
  assert.deepEqual([...requested], [new URL(url).host], "nothing comes from elsewhere");
  console.log("all is well");
}
main().catch((error) => {
  console.error(error);
  process.exit(1);
});
