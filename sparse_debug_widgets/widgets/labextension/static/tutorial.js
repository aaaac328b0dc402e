// The tutorial: a copy in the folder that a person works in, never written over an earlier one.

const FILE = "01_find_the_planted_flaw.ipynb";

/** @param {string} folder */
const inside = (folder) => (folder ? `${folder}/${FILE}` : FILE);

/**
 * @param {any} host the modules of the application
 * @param {any} services its service manager
 * @param {string} here address of the shipped copy's folder
 * @param {string} folder where the copy goes
 * @returns {Promise<string>} path of the copy
 */
export async function copyTutorial(host, services, here, folder) {
  const path = inside(folder);
  if (await exists(services.contents, path)) return path;
  const { ServerConnection } = host.services;
  const address = new URL(FILE, here).href;
  const reply = await ServerConnection.makeRequest(address, {}, services.serverSettings);
  if (!reply.ok) throw new Error("this installation holds no tutorial: install sparse-debug-widgets again");
  await services.contents.save(path, { type: "notebook", format: "json", content: await reply.json() });
  return path;
}

/** @param {any} contents @param {string} path */
async function exists(contents, path) {
  // Listed, not asked for: a file that is not there would be an error in the page's console.
  const cut = path.lastIndexOf("/");
  const folder = await contents.get(cut < 0 ? "" : path.slice(0, cut), { content: true });
  return folder.content.some((/** @type {{name: string}} */ item) => item.name === path.slice(cut + 1));
}
