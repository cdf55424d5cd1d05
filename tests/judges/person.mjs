// A person with a browser, played over plain HTTP: logs in, reads the consent page, answers it.

// Browser keeps cookies by path and follows no redirect by itself.
export class Browser {
	cookies = new Map();

	async request(url, form) {
		const headers = {};
		const path = new URL(url).pathname;
		const sent = [...this.cookies.values()].filter((c) => path === c.path || path.startsWith(c.path.replace(/\/?$/, "/")));
		if (sent.length > 0) headers.cookie = sent.map((c) => `${c.name}=${c.value}`).join("; ");
		const response = await fetch(url, { method: form ? "POST" : "GET", headers, body: form && new URLSearchParams(form), redirect: "manual" });
		for (const line of response.headers.getSetCookie()) {
			const [pair, ...attributes] = line.split(";").map((part) => part.trim());
			const [name, value] = [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)];
			const at = attributes.find((a) => a.toLowerCase().startsWith("path="))?.slice(5) ?? "/";
			if (value === "") this.cookies.delete(name + at);
			else this.cookies.set(name + at, { name, value, path: at });
		}
		const location = response.headers.get("location");
		return { status: response.status, location: location && new URL(location, url).href, body: await response.text(), url };
	}
}

const unescape = (text) => text.replaceAll("&#34;", '"').replaceAll("&#39;", "'").replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&#43;", "+").replaceAll("&amp;", "&");

// inputs are the input elements of a page.
export function inputs(page) {
	return [...page.body.matchAll(/<input\b[^>]*>/g)].map((tag) =>
		Object.fromEntries([...tag[0].matchAll(/([a-z-]+)="([^"]*)"/g)].map((m) => [m[1], unescape(m[2])])));
}

function actionOf(page, ending) {
	const found = page.body.match(new RegExp(`action="([^"]*${ending})"`));
	if (!found) throw new Error(`no form for ${ending} on the page (status ${page.status})\n${page.body}`);
	return new URL(unescape(found[1]), page.url).href;
}

const field = (page, name) => inputs(page).find((i) => i.name === name)?.value;

// Person answers authorization requests.
export class Person {
	constructor(name, password) {
		Object.assign(this, { name, password, browser: new Browser(), seen: [] });
	}

	// answer goes through login and consent and gives the address that the client is called back at.
	async answer(authorizationURL, { action = "allow", wanted = () => true } = {}) {
		let page = await this.follow(await this.browser.request(authorizationURL));
		if (field(page, "username") !== undefined) {
			const form = { username: this.name, password: this.password, form_token: field(page, "form_token") };
			page = await this.follow(await this.browser.request(actionOf(page, "/login"), form));
		}
		const offered = inputs(page).filter((i) => i.type === "checkbox" && i.name === "scope").map((i) => i.value);
		this.seen.push({ offered, page: page.body });
		const form = [["form_token", field(page, "form_token")], ["action", action], ...offered.filter(wanted).map((scope) => ["scope", scope])];
		const done = await this.browser.request(actionOf(page, "/consent"), form);
		if (done.status !== 303) throw new Error(`the consent form is answered with ${done.status}\n${done.body}`);
		return done.location;
	}

	// follow goes on to pages of the same server only.
	async follow(answer) {
		const origin = new URL(answer.url).origin;
		for (let i = 0; i < 5 && answer.location; i++) {
			if (new URL(answer.location).origin !== origin) throw new Error(`sent to ${answer.location} before any consent`);
			answer = await this.browser.request(answer.location);
		}
		if (answer.status !== 200) throw new Error(`${answer.url} gives ${answer.status}\n${answer.body}`);
		return answer;
	}
}
