// The client's side of the browser tests: a callback that remembers what it receives, and the pages of an attacker.
import { createHash } from "node:crypto";
import { createServer } from "node:http";

export const verifier = "the-verifier-of-the-browser-judge-is-no-secret-01";
export const challengeOf = (text) => createHash("sha256").update(text).digest("base64url");

const escape = (text) => text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;");

// frames are the ways to show somebody else's page inside one's own.
const frames = {
	iframe: (url) => `<iframe src="${url}" width="800" height="800"></iframe>`,
	object: (url) => `<object data="${url}" type="text/html" width="800" height="800"></object>`,
	embed: (url) => `<embed src="${url}" type="text/html" width="800" height="800">`,
};

// posts are the ways to send somebody else's form. All wait for a click.
const posts = {
	form: (action, fields) => form(action, fields),
	sandbox: (action, fields) => `<iframe sandbox="allow-forms allow-top-navigation" srcdoc="${escape(form(action, fields, "_top"))}"></iframe>`,
	fetch: (action, fields) => `<button onclick="fetch('${action}', {method: 'POST', mode: 'no-cors', credentials: 'include', body: new URLSearchParams(${escape(JSON.stringify(fields))})})">win a prize</button>`,
};

function form(action, fields, target = "_self") {
	const inputs = fields.map(([name, value]) => `<input type="hidden" name="${escape(name)}" value="${escape(value)}">`);
	return `<form method="post" target="${target}" action="${action}">${inputs.join("")}<button>win a prize</button></form>`;
}

// attackPage shows a page of ours inside, or holds a form of ours.
function attackPage(params) {
	const [how, url] = [params.get("how"), escape(params.get("url") ?? "")];
	return frames[how]?.(url) ?? posts[how]?.(url, [...params].filter(([name]) => name.startsWith("field.")).map(([name, value]) => [name.slice(6), value])) ?? "";
}

export async function callbackServer() {
	const calls = [];
	const server = createServer((request, response) => {
		const { pathname, searchParams } = new URL(request.url, "http://localhost");
		if (pathname === "/callback") calls.push({ params: searchParams, method: request.method, ...request.headers });
		const known = pathname === "/callback" || pathname === "/attack";
		response.writeHead(known ? 200 : 404, { "content-type": "text/html" });
		response.end(pathname === "/attack" ? attackPage(searchParams) : "<title>client</title>You can close this page.");
	});
	await new Promise((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve));
	const { port } = server.address();
	return {
		calls,
		url: `http://127.0.0.1:${port}/callback`,
		last: () => calls.at(-1),
		// Two attackers: localhost is another site for our pages at 127.0.0.1, another port of 127.0.0.1 is the same site and gets cookies.
		attackers: { "another site": `http://localhost:${port}/attack`, "another port": `http://127.0.0.1:${port}/attack` },
		close: () => { server.closeAllConnections(); server.close(); },
	};
}

export const frameWays = Object.keys(frames);
export const postWays = Object.keys(posts);

// attack is the address of an attacker's page.
export const attack = (attacker, how, url, fields = {}) =>
	`${attacker}?${new URLSearchParams([["how", how], ["url", url], ...Object.entries(fields).map(([name, value]) => [`field.${name}`, value])])}`;
