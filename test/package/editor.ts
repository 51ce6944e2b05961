/**
 * What an editor says of a site's file, by TypeScript's language service: version 6, as 7 has no API yet (7.0.2).
 * Invariant: reads what is on disk, once; a project is a folder with its files in it.
 */
import { join } from 'node:path'
import ts from 'typescript'

/** An editor with these files open. */
export interface Editor {
  /** What it underlines, in any of them. */
  complaints(): string[]
  /** What it offers where this text ends, the first time that it stands in the file. */
  offers(file: string, text: string): string[]
}

/** Opens files of a folder, under the options of a `tsconfig.json`. */
export const openEditor = (folder: string, files: string[], options: object): Editor => {
  const paths = files.map((file) => join(folder, file))
  const service = ts.createLanguageService({
    getCompilationSettings: () => ts.convertCompilerOptionsFromJson(options, folder).options,
    getScriptFileNames: () => paths,
    getScriptVersion: () => '1',
    getScriptSnapshot: (path) => {
      const text = ts.sys.readFile(path)
      return text === undefined ? undefined : ts.ScriptSnapshot.fromString(text)
    },
    getCurrentDirectory: () => folder,
    getDefaultLibFileName: ts.getDefaultLibFilePath,
    fileExists: ts.sys.fileExists,
    readFile: ts.sys.readFile,
  })
  return {
    complaints: () =>
      paths.flatMap((path) =>
        [...service.getSyntacticDiagnostics(path), ...service.getSemanticDiagnostics(path)].map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n')),
      ),
    offers: (file, text) => {
      const path = join(folder, file)
      const at = ts.sys.readFile(path)?.indexOf(text) ?? -1
      if (at < 0) throw new Error(`${file} has no ${text}`)
      return service.getCompletionsAtPosition(path, at + text.length, {})?.entries.map(({ name }) => name) ?? []
    },
  }
}
