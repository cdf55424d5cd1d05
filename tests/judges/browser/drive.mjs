// A person in a real Chromium: login, consent, deny, account, revocation, with and without JavaScript. Every page is
// looked at in light, dark and at phone width, judged by axe, and kept as a picture.
import assert from "node:assert/strict";
import { check, conclude } from "../result.mjs";
import { accounts } from "./account.mjs";
import { consents } from "./consent.mjs";
import { forgeries } from "./forgery.mjs";
import { keyboards } from "./keyboard.mjs";
import { clientNames } from "./names.mjs";
import { otherPages } from "./pages.mjs";
import { redirects } from "./redirects.mjs";
import { strangers } from "./strangers.mjs";
import { browser, callback, portcullis } from "./world.mjs";

const first = await consents();
await accounts(first);
await strangers();
await keyboards();
await redirects();
await clientNames();
await forgeries();
await otherPages(); // last: it changes a password

await browser.close();
callback.close();
await check("the program ends well", async () => assert.equal(await portcullis.stop(), 0, portcullis.output));
conclude();
