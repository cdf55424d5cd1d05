// The person's browser, as a program that is given an address: logs in, answers the consent, follows the redirect to the
// loopback address where mcp-remote listens. Every visit is two lines of a file: one when it begins, one when it has ended.
import { appendFileSync } from "node:fs";
import { Person } from "../person.mjs";

// returned follows the redirect. mcp-remote opens the browser first and listens afterwards, which no person is fast enough to notice.
async function returned(browser, callback) {
	for (const deadline = Date.now() + 20_000; ; await new Promise((r) => setTimeout(r, 50))) {
		try {
			return await browser.request(callback);
		} catch (error) {
			if (Date.now() > deadline) throw error;
		}
	}
}

const { JUDGED_PERSON: name, JUDGED_PASSWORD: password, JUDGED_ACTION: action, JUDGED_VISITS: visits } = process.env;
const visit = { url: process.argv[2] };
const note = (line) => appendFileSync(visits, JSON.stringify(line) + "\n");
note({ begun: visit.url });
try {
	const person = new Person(name, password);
	visit.callback = await person.answer(visit.url, { action });
	const answer = await returned(person.browser, visit.callback);
	visit.status = answer.status;
} catch (error) {
	visit.error = String(error.stack);
}
note(visit);
