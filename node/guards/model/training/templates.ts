/**
 * Reads the template files in `templates/`: `@name` starts a slot and `= name` a family, one entry a line; `#` comments,
 * `\n` is a line break and `()` the empty text. What an entry may hold is said in `grammar.ts`, which expands them.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Chance, type Produced, produce } from "./grammar.ts";
import { PROJECT_ROOT } from "./packages.ts";

export interface Templates {
  readonly slots: Readonly<Record<string, readonly string[]>>;
  readonly families: Readonly<Record<string, readonly string[]>>;
}

const FOLDER = join(PROJECT_ROOT, "node/guards/model/training/templates");

/** `shared` are files whose slots may be used too. */
export function readTemplates(name: string, shared: readonly string[] = []): Templates {
  const slots: Record<string, string[]> = {};
  const families: Record<string, string[]> = {};
  for (const file of [...shared, name]) {
    let list: string[] | undefined;
    for (const line of readFileSync(join(FOLDER, `${file}.txt`), "utf8").split("\n")) {
      if (line === "" || line.startsWith("#")) continue;
      const head = /^([@=]) ?(\S+)$/.exec(line);
      if (head !== null) {
        list = [];
        if (head[1] === "@") slots[head[2] as string] = list;
        else if (file === name) families[head[2] as string] = list;
      } else list?.push(line.replaceAll("\\n", "\n"));
    }
  }
  return { slots, families };
}

/** Up to `most` texts of each template, by family. */
export function produceFamilies(
  templates: Templates,
  most: number,
  chance: Chance,
): ReadonlyMap<string, readonly Produced[]> {
  return new Map(
    Object.entries(templates.families).map(([name, list]) => [name, produce(list, templates.slots, most, chance)]),
  );
}
