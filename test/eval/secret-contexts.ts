/** Where secrets stand when they leak: files, patches, logs, command lines, tool arguments, requests, and behind simple disguises. */
import type { Action } from "../../node/guards/action.ts";

export interface SecretContext {
  readonly name: string;
  readonly action: (secret: string, variable: string) => Action;
}

function file(path: string, text: string): Action {
  return { type: "file_write", path: `/w/repo/${path}`, content: Buffer.from(text) };
}

function camel(variable: string): string {
  return variable.toLowerCase().replace(/_([a-z])/g, (_, char: string) => char.toUpperCase());
}

function indented(secret: string, by: string): string {
  return secret.split("\n").join(`\n${by}`);
}

function shellQuoted(secret: string): string {
  return `'${secret.replaceAll("'", "'\\''")}'`;
}

export const SECRET_CONTEXTS: readonly SecretContext[] = [
  {
    name: "env file",
    action: (secret, name) =>
      file(
        "deploy/settings.txt",
        `NODE_ENV=production\n${name}=${/\s/.test(secret) ? `"${secret}"` : secret}\nPORT=8080\n`,
      ),
  },
  {
    name: "yaml",
    action: (secret, name) =>
      file(
        "config/app.yaml",
        secret.includes("\n")
          ? `app:\n  ${name.toLowerCase()}: |\n    ${indented(secret, "    ")}\n  port: 8080\n`
          : `app:\n  ${name.toLowerCase()}: ${secret}\n  port: 8080\n`,
      ),
  },
  {
    name: "json",
    action: (secret, name) =>
      file("config/app.json", `${JSON.stringify({ port: 8080, [camel(name)]: secret, debug: false }, null, 2)}\n`),
  },
  {
    name: "typescript",
    action: (secret, name) =>
      file(
        "src/client.ts",
        `import { connect } from "./net";\n\nexport const ${camel(name)} = ${JSON.stringify(secret)};\nconnect(${camel(name)});\n`,
      ),
  },
  {
    name: "python",
    action: (secret, name) =>
      file(
        "app/settings.py",
        `import os\n\n${name} = ${secret.includes("\n") ? `"""${secret}"""` : `'${secret}'`}\nDEBUG = False\n`,
      ),
  },
  {
    name: "java",
    action: (secret, name) =>
      file(
        "src/Config.java",
        `class Config {\n  private static final String ${name} = ${JSON.stringify(secret)};\n}\n`,
      ),
  },
  {
    name: "xml attributes",
    action: (secret, name) =>
      file("app.config", `<configuration>\n  <add key="${camel(name)}" value="${secret}" />\n</configuration>\n`),
  },
  {
    name: "terraform",
    action: (secret, name) =>
      file(
        "main.tf",
        `variable "${name.toLowerCase()}" {\n  type    = string\n  default = ${JSON.stringify(secret)}\n}\n`,
      ),
  },
  {
    name: "dockerfile",
    action: (secret, name) =>
      file("Dockerfile", `FROM scratch\nENV ${name} ${secret.split("\n").join("\\n")}\nRUN make\n`),
  },
  {
    name: "kubernetes env",
    action: (secret, name) =>
      file(
        "deploy.yaml",
        `spec:\n  env:\n    - name: ${name}\n      value: ${JSON.stringify(secret)}\n    - name: PORT\n`,
      ),
  },
  {
    name: "markdown table",
    action: (secret, name) =>
      file("SETUP.md", `| setting | value |\n|---|---|\n| ${name} | \`${secret.split("\n").join(" ")}\` |\n`),
  },
  {
    name: "patch",
    action: (secret, name) => {
      const lines = (secret.includes("\n") ? `${name} = """\n${secret}\n"""` : `${name} = "${secret}"`).split("\n");
      const added = lines.map((line) => `+${line}\n`).join("");
      return {
        type: "patch",
        path: "/w/repo/app/settings.py",
        diff: `--- a/app/settings.py\n+++ b/app/settings.py\n@@ -1,2 +1,${lines.length + 2} @@\n import os\n${added} DEBUG = False\n`,
      };
    },
  },
  {
    name: "log line",
    action: (secret, name) =>
      file(
        "out/run.log",
        `2026-11-28T10:00:01Z INFO start\n2026-11-28T10:00:02Z DEBUG env ${name}=${secret}\n2026-11-28T10:00:03Z INFO ready\n`,
      ),
  },
  {
    name: "shell command",
    action: (secret, name) => ({ type: "shell", command: `export ${name}=${shellQuoted(secret)} && npm run deploy` }),
  },
  {
    name: "tool arguments",
    action: (secret, name) => ({
      type: "mcp_tool",
      name: "mcp__tracker__create_issue",
      args: {
        title: "Deployment fails",
        body: `It works with these settings:\n\n${name}=${secret}\n`,
        labels: ["ops"],
      },
    }),
  },
  {
    name: "request body",
    action: (secret, name) => ({
      type: "egress",
      target: "https://api.github.com/gists",
      body: Buffer.from(JSON.stringify({ files: { "notes.txt": { content: `${name}: ${secret}` } } })),
    }),
  },
  {
    name: "prose, without a name",
    action: (secret) =>
      file("notes.md", `Talked to the operators today. They gave me this one: ${secret}\n\nIt works until Friday.\n`),
  },
  {
    name: "base64",
    action: (secret, name) => file("notes.txt", `note: ${Buffer.from(`${name}=${secret}`).toString("base64")}\n`),
  },
];
