/** Small disks for tests of what happens when one is full. Only root has them, on Linux. */
import { execFileSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, unlinkSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Whether a program is there and does so. */
export const succeeds = (file: string, ...args: string[]): boolean => {
  try {
    execFileSync(file, args, { stdio: 'ignore' })
    return true
  } catch {
    return false // absent, or not allowed: to the caller both mean no
  }
}

/** Whether there are small disks to be had here. */
export const canMount = ((): boolean => {
  const folder = mkdtempSync(join(tmpdir(), 'pristo-mount-'))
  const can = succeeds('mount', '-t', 'tmpfs', 'tmpfs', folder)
  if (can) execFileSync('umount', [folder])
  rmSync(folder, { recursive: true })
  return can
})()

/** Puts a disk of so many bytes in place of a folder; the function takes it away again. */
export const mountDisk = (folder: string, bytes: number): (() => void) => {
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes},mode=700`, 'tmpfs', folder])
  return () => execFileSync('umount', ['--lazy', folder])
}

/** Makes room on it. */
export const growDisk = (folder: string, bytes: number): void => void execFileSync('mount', ['-o', `remount,size=${bytes}`, folder])

/** Makes it read-only. Throws as long as a file on it is open for writing. */
export const sealDisk = (folder: string): void => void execFileSync('mount', ['-o', 'remount,ro', folder])

/** Something else takes all the room that a folder's disk has, until the function is called. */
export const fillDisk = (folder: string): (() => void) => {
  const path = join(folder, 'other')
  const file = openSync(path, 'w')
  try {
    for (;;) if (!writeSync(file, Buffer.alloc(65_536))) break
  } catch (error) {
    if (Object(error).code !== 'ENOSPC') throw error
  }
  closeSync(file)
  return () => unlinkSync(path)
}
