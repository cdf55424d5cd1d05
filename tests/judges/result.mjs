// The checks of a judge: each is named, and the last line of the output counts them.
let passed = 0;
let failed = 0;

export async function check(name, body) {
	try {
		await body();
		passed++;
		console.log(`ok    ${name}`);
	} catch (error) {
		failed++;
		console.log(`FAIL  ${name}\n      ${String(error?.stack ?? error).replaceAll("\n", "\n      ")}`);
		if (error?.cause) console.log(`      cause: ${error.cause}`);
	}
}

export function conclude() {
	console.log(`${passed} passed, ${failed} failed`);
	process.exit(failed === 0 && passed > 0 ? 0 : 1);
}
