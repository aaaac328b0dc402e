// Names of files and fields of tables: words that anybody may have chosen.

import assert from "node:assert/strict";
import { test } from "node:test";

import { csvField, fileName, tableFile } from "../../sparse_debug_widgets/widgets/kit/files.js";

test("a file is named by what is in it", () => {
  assert.equal(fileName(["path", "mushroom", "lambda", "0.0354"]), "path-mushroom-lambda-0.0354");
  assert.equal(fileName(["fit", 3, ""]), "fit-3");
  assert.equal(
    fileName(["features", "chou-fleur \u00e9t\u00e9", "\u732b"]),
    "features-chou-fleur-\u00e9t\u00e9-\u732b",
  );
});

test("no word can leave the folder, hide a file, or make its name too long", () => {
  for (const word of [
    "../../etc/passwd",
    "C:\\Windows\\x",
    ".bashrc",
    "a/b",
    "-rf",
    "a\u0000b",
    "\u202egnp.exe",
    "<img src=x>",
  ]) {
    const name = fileName([word]);
    assert.match(name, /^[\p{L}\p{N}][\p{L}\p{N}\p{M}.-]*$/u, word);
    assert.ok(!name.includes(".."), name);
  }
  assert.equal(fileName(["", "///"]), "panel");
  assert.ok(new TextEncoder().encode(fileName(Array(3).fill("\u732b".repeat(500)))).length < 400);
});

test("a table keeps names as data, and a number that is none is empty", async () => {
  const text = await tableFile([
    ["name", "n", "on"],
    ["=SUM(A1)", NaN, true],
    ['say "a, b"', 0.5, false],
    ["two\nlines", -Infinity, true],
  ]).text();
  assert.equal(text, 'name,n,on\r\n\'=SUM(A1),,1\r\n"say ""a, b""",0.5,0\r\n"two\nlines",,1\r\n');
});

test("a field of a CSV file keeps its text and runs as no formula", () => {
  assert.equal(csvField(-1.5), "-1.5");
  assert.equal(csvField("a, b"), '"a, b"');
  assert.equal(csvField('say "a"\r\n'), '"say ""a""\r\n"');
  for (const first of "=+-@\t\r") assert.match(csvField(`${first}1`), /^"?'/);
});
