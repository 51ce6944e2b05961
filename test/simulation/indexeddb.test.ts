// @vitest-environment node
/** The simulated IndexedDB behaves as the specification says and browsers do, or the simulation proves nothing. */
import { describe, expect, it } from 'vitest'
import { createDisk, type Disk, type Realm } from './indexeddb.ts'
import { createRandom } from './random.ts'
import { createTime } from './time.ts'

const setUp = () => {
  const time = createTime(0)
  const disk = createDisk(time, createRandom(7), () => {})
  const makeRealm = (): Realm & { alive: boolean } => {
    const realm = {
      nth: 1,
      alive: true,
      task: (work: () => void) => void time.after(0, () => realm.alive && work()),
      isAlive: () => realm.alive,
      isFrozen: () => false,
    }
    return realm
  }
  /** Runs until nothing is planned, or for so long. */
  const run = (forMs = 60_000) => {
    const end = time.now() + forMs
    time.after(forMs, () => {})
    return time.run(() => time.now() >= end)
  }
  return { time, disk, makeRealm, run }
}

/** `indexedDB.open()` of the store `events`, as a client writes it. */
const open = (disk: Disk, realm: Realm) =>
  new Promise<IDBDatabase>((resolve, reject) => {
    const request = (disk.factory(realm) as IDBFactory).open('db', 1)
    request.onupgradeneeded = () => request.result.createObjectStore('events')
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })

const ended = (transaction: IDBTransaction) =>
  new Promise<string>((resolve) => {
    transaction.oncomplete = () => resolve('complete')
    transaction.onabort = () => resolve('abort')
  })

const put = (db: IDBDatabase, key: string, value: unknown = key) => {
  const transaction = db.transaction('events', 'readwrite')
  transaction.objectStore('events').put(value, key)
  return transaction
}

describe('the simulated IndexedDB', () => {
  it('keeps what was put once the transaction is complete, also for the next page', async () => {
    const { disk, makeRealm, run } = setUp()
    const page = makeRealm()
    const told = open(disk, page).then((db) => ended(put(db, 'a', { n: 1 })))
    await run()
    expect(await told).toBe('complete')
    page.alive = false
    disk.leave(page)
    expect(disk.values()).toEqual([{ n: 1 }])
  })

  it('drops what a page that dies had not committed', async () => {
    const { disk, makeRealm, run } = setUp()
    const page = makeRealm()
    void open(disk, page).then((db) => {
      put(db, 'a')
      page.alive = false
      disk.leave(page)
    })
    await run()
    expect(disk.values()).toEqual([])
  })

  it('may or may not keep what a page that dies had told it to commit', async () => {
    const { disk, makeRealm, run } = setUp()
    const kept: number[] = []
    for (let nth = 0; nth < 40; nth++) {
      const page = makeRealm()
      const before = disk.values().length
      void open(disk, page).then((db) => {
        put(db, `key ${nth}`).commit()
        page.alive = false
        disk.leave(page)
      })
      await run(100)
      kept.push(disk.values().length - before)
    }
    expect(new Set(kept)).toEqual(new Set([0, 1]))
  })

  it('commits by itself, and is inactive after the task and between events', async () => {
    const { disk, makeRealm, run, time } = setUp()
    const errors: string[] = []
    void open(disk, makeRealm()).then((db) => {
      const transaction = db.transaction('events', 'readwrite')
      const store = transaction.objectStore('events')
      const request = store.put('a', 'a')
      request.onsuccess = () => void Promise.resolve().then(() => store.put('b', 'b')) // a microtask of the event: active
      time.after(0.01, () => {
        try {
          store.put('c', 'c')
        } catch (error) {
          errors.push(error instanceof DOMException ? error.name : '')
        }
      })
    })
    await run()
    expect(errors).toEqual(['TransactionInactiveError'])
    expect(disk.values()).toEqual(['a', 'b'])
  })

  it('runs transactions of two tabs one after the other: a read and its write cannot be parted', async () => {
    const { disk, makeRealm, run } = setUp()
    for (const _ of [1, 2, 3]) {
      void open(disk, makeRealm()).then((db) => {
        const store = db.transaction('events', 'readwrite').objectStore('events')
        const request = store.get('count')
        request.onsuccess = () => store.put(Number(request.result ?? 0) + 1, 'count')
      })
    }
    await run()
    expect(disk.values()).toEqual([3])
  })

  it('takes in and hands out copies', async () => {
    const { disk, makeRealm, run } = setUp()
    const given = { list: [1] }
    void open(disk, makeRealm()).then((db) => {
      put(db, 'a', given)
      given.list.push(2)
      const request = db.transaction('events').objectStore('events').get('a')
      request.onsuccess = () => request.result.list.push(3)
    })
    await run()
    expect(disk.values()).toEqual([{ list: [1] }])
  })

  it('aborts at commit without an error event, and keeps nothing', async () => {
    const { disk, makeRealm, run } = setUp()
    const heard: string[] = []
    const told = open(disk, makeRealm()).then((db) => {
      disk.break('commit aborts')
      const transaction = put(db, 'a')
      transaction.onerror = () => heard.push('error')
      return ended(transaction)
    })
    await run()
    expect(await told).toBe('abort')
    expect(heard).toEqual([])
    expect(disk.values()).toEqual([])
  })

  it('never settles, fails, or throws where it is told to', async () => {
    const { disk, makeRealm, run } = setUp()
    const told: string[] = []
    const page = makeRealm()
    const db = open(disk, page)
    await run(100)
    disk.break('open never settles')
    void open(disk, page).then(() => told.push('opened'), () => told.push('failed'))
    await run(100)
    expect(told).toEqual([])
    disk.break('open fails')
    void open(disk, page).catch((error: DOMException) => told.push(error.name))
    await run(100)
    expect(told).toEqual(['UnknownError'])
    disk.break(undefined)
    disk.disconnect(false)
    const dead = await db
    expect(() => dead.transaction('events')).toThrow('closing')
  })

  it('asks connections to close before another script deletes the database', async () => {
    const { disk, makeRealm, run } = setUp()
    void open(disk, makeRealm()).then((db) => {
      db.onversionchange = () => db.close()
      put(db, 'a')
    })
    await run(100)
    disk.deleteAll(() => {})
    await run(1_000)
    expect(disk.values()).toEqual([])
  })
})
