// People who have no pointer: everything is reached and done with Tab, Space and Enter, and it is seen where one is.
import assert from "node:assert/strict";
import { check } from "../result.mjs";
import { archive, authorizeURL, callback, keepPicture, open, password, portcullis, tokens } from "./world.mjs";

// here tells what has the focus, and how well one sees it: the outline's width and its contrast with what lies around it.
const here = (page) => page.evaluate(async () => {
	await new Promise(requestAnimationFrame); // the page scrolls to where the focus went
	const rgb = (colour) => (colour.match(/[\d.]+/g) ?? []).map(Number);
	const luminance = (colour) => rgb(colour).slice(0, 3).map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
		.reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
	const element = document.activeElement;
	if (!element || element === document.body) return undefined;
	let around = element.parentElement;
	while (around && rgb(getComputedStyle(around).backgroundColor)[3] === 0) around = around.parentElement;
	const { outlineStyle, outlineWidth, outlineColor } = getComputedStyle(element);
	const [high, low] = [luminance(outlineColor), luminance(getComputedStyle(around).backgroundColor)].sort((a, b) => b - a);
	const box = element.getBoundingClientRect();
	return {
		what: `${element.localName} ${element.getAttribute("value") ?? element.name ?? ""} ${element.innerText ?? ""}`.trim().replace(/\s+/g, " "),
		seen: outlineStyle === "none" ? 0 : parseFloat(outlineWidth), contrast: (high + 0.05) / (low + 0.05),
		inside: box.top > -1 && box.bottom < innerHeight + 1 && box.width > 0,
	};
});

// step presses Tab and demands that one sees where it leads.
async function step(page) {
	await page.keyboard.press("Tab");
	const now = await here(page);
	if (now) {
		assert.ok(now.seen >= 2, `${now.what} has the focus and shows it with an outline of ${now.seen} px`);
		assert.ok(now.contrast >= 3, `the outline of ${now.what} has a contrast of ${now.contrast}`);
		assert.ok(now.inside, `${now.what} has the focus out of sight`);
	}
	return now?.what;
}

// walkThrough presses Tab until the page has been walked through once, and gives the stops.
async function walkThrough(page) {
	const stops = [];
	for (let i = 0; i < 60; i++) {
		const stop = await step(page);
		if (stop === undefined || stop === stops[0]) return stops;
		stops.push(stop);
	}
	throw new Error(`the focus never leaves: ${stops}`);
}

// goTo presses Tab until something has the focus.
async function goTo(page, what) {
	for (let i = 0; i < 60; i++) if (what.test((await step(page)) ?? "")) return;
	throw new Error(`no Tab leads to ${what}`);
}

// reachable are all things on the page that can be used, in the order of the page.
const reachable = (page) => page.locator('a[href], button, summary, input:not([type="hidden"])').evaluateAll((all) =>
	all.filter((e) => e.checkVisibility()).map((e) => `${e.localName} ${e.getAttribute("value") ?? e.name ?? ""} ${e.innerText ?? ""}`.trim().replace(/\s+/g, " ")));

async function loginByKeyboard(page, name = "alice") {
	assert.match((await here(page)).what, /^input username|^input\s*$/, "the user name does not have the focus");
	await page.keyboard.type(name);
	await goTo(page, /^input password/);
	await page.keyboard.type(password);
	await page.keyboard.press("Enter");
	await page.getByRole("heading", { name: /asks for access|Connected agents/ }).waitFor();
}

async function consent(colorScheme) {
	const { page, context } = await open({ colorScheme });
	await page.goto(authorizeURL().url);
	await loginByKeyboard(page);
	const wanted = await reachable(page);
	assert.ok(wanted.length >= 7, `only ${wanted} can be used`);
	assert.deepEqual(await walkThrough(page), wanted);
	await page.reload();
	await goTo(page, /office:crm.write/);
	await page.keyboard.press("Space");
	await keepPicture(page, `keyboard-checkbox-${colorScheme}`);
	await goTo(page, /^button deny/);
	await goTo(page, /^button allow/);
	await keepPicture(page, `keyboard-allow-${colorScheme}`);
	await page.waitForFunction(() => !document.querySelector("[data-hold]").hasAttribute("aria-disabled"));
	await page.keyboard.press("Enter");
	await page.waitForURL(/\/callback\?/);
	const { scope } = await tokens(callback.last().params.get("code"));
	assert.deepEqual(scope.split(" ").filter((s) => s !== "offline_access"), ["office:calendar.read", "office:money.transfer"]);
	await context.close();
}

async function others() {
	const { page, context } = await open();
	await page.goto(`${portcullis.issuer}/ui/login`);
	assert.deepEqual(await walkThrough(page), ["input password", "button Sign in"]); // the user name has the focus from the beginning
	await page.reload();
	await loginByKeyboard(page, "erin");
	await page.goto(authorizeURL({ resource: archive, scope: "archive:boxes.read" }).url);
	await goTo(page, /^summary/);
	await page.keyboard.press("Enter");
	await page.getByText("box_open", { exact: true }).waitFor();
	await goTo(page, /^button allow/);
	await page.waitForFunction(() => !document.querySelector("[data-hold]").hasAttribute("aria-disabled"));
	await page.keyboard.press("Space");
	await page.waitForURL(/\/callback\?/);

	await page.goto(authorizeURL({ resource: archive, scope: "archive:boxes.read" }).url);
	await goTo(page, /^button deny/);
	await page.keyboard.press("Enter");
	await page.waitForURL(/\/callback\?/);
	assert.equal(callback.last().params.get("error"), "access_denied");

	await page.goto(`${portcullis.issuer}/ui/account`);
	assert.deepEqual(await walkThrough(page), await reachable(page));
	await page.reload();
	await goTo(page, /^button Disconnect/);
	await page.keyboard.press("Enter");
	await page.getByText("No app is connected").waitFor();
	await goTo(page, /^button Sign out/);
	await page.keyboard.press("Space");
	await page.getByRole("heading", { name: "You are signed out" }).waitFor();
	await context.close();
}

export async function keyboards() {
	for (const colorScheme of ["light", "dark"]) {
		await check(`login and consent need Tab, Space and Enter only, and the focus is seen, in ${colorScheme}`, () => consent(colorScheme));
	}
	await check("so do the tools behind a scope, Deny, the account and the way out", others);
}
