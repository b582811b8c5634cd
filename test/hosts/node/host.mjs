// Node's better-sqlite3 loads the extensions, twice.
// usage: host.mjs BUILD_FOLDER SCRIPT_FOLDER NAME...
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

// better-sqlite3 is installed in the working directory, not beside this file.
const Database = createRequire(join(process.cwd(), "package.json"))("better-sqlite3");
const [build, scripts, ...names] = process.argv.slice(2);

/** The statements of a script: these have no semicolons elsewhere. */
function statements(script) {
  const bare = script.replace(/^--.*$/gm, "");
  return bare.split(";").map((part) => part.trim()).filter((part) => part);
}

/** What the last statement answers, and what it should. */
function run(name) {
  const path = join(scripts, `${name}.sql`);
  const script = existsSync(path)
    ? readFileSync(path, "utf8")
    : `-- expect: 1\nSELECT ${name}_version() IS NOT NULL;`;
  const expected = script.split("\n")[0].replace("-- expect: ", "");
  const db = new Database(":memory:");
  let last = null;
  try {
    db.loadExtension(join(build, name));
    for (const sql of statements(script)) {
      const statement = db.prepare(sql);
      last = statement.reader ? Object.values(statement.get() ?? [null])[0] : statement.run() && null;
    }
  } finally {
    db.close();
  }
  return [String(last), expected];
}

/** What a cache of rows needs is not in this host's SQLite: that is said, and nothing else fails. */
function refusal() {
  const db = new Database(":memory:");
  try {
    db.loadExtension(join(build, "multiverse"));
    return JSON.stringify(db.prepare("SELECT multiverse_cache(1000000)").get());
  } catch (error) {
    return String(error.message);
  } finally {
    db.close();
  }
}

let failed = 0;
const db = new Database(":memory:");
const version = db.prepare("SELECT sqlite_version()").pluck().get();
db.close();
names.forEach((name, index) => {
  let why = "";
  try {
    const answers = [run(name), run(name)];
    if (answers.some(([got, expected]) => got !== expected)) why = JSON.stringify(answers);
  } catch (error) {
    why = String(error.message);
  }
  failed += why ? 1 : 0;
  console.log(`${why ? "not ok" : "ok"} ${index + 1} - ${name} in Node, SQLite ${version}`);
  if (why) console.log(`# ${why}`);
});
if (names.includes("multiverse")) {
  const told = refusal(), right = /no preupdate hook/.test(told);
  failed += right ? 0 : 1;
  console.log(`${right ? "ok" : "not ok"} ${names.length + 1} - multiverse_cache() says what is missing\n# ${told}`);
}
console.log(`1..${names.length + names.includes("multiverse")}`);
process.exitCode = failed ? 1 : 0;
