/** Event targets as far as a tracker meets them: `on…` properties and listeners with `once`, `capture` and `signal`. */
export interface SimEvent {
  type: string
  target: unknown
  persisted?: boolean
  key?: string | null
  newValue?: string | null
  oldValue?: string | null
  preventDefault(): void
}

type Listener = (event: SimEvent) => unknown

interface Options {
  capture?: boolean
  once?: boolean
  signal?: AbortSignal
}

export class Target {
  readonly #listeners: { type: string; listener: Listener; capture: boolean; once: boolean }[] = []

  addEventListener = (type: string, listener: Listener | { handleEvent: Listener }, given?: boolean | Options): void => {
    const { capture = false, once = false, signal }: Options = typeof given === 'boolean' ? { capture: given } : (given ?? {})
    if (signal?.aborted) return
    const call = typeof listener === 'function' ? listener : (event: SimEvent) => listener.handleEvent(event)
    const entry = { type, listener: call, capture, once }
    if (this.#listeners.some((known) => known.type === type && known.listener === call && known.capture === capture)) return
    this.#listeners.push(entry)
    signal?.addEventListener('abort', () => this.#remove(entry), { once: true })
  }

  removeEventListener = (type: string, listener: Listener, given?: boolean | Options): void => {
    const capture = typeof given === 'boolean' ? given : (given?.capture ?? false)
    const entry = this.#listeners.find((known) => known.type === type && known.listener === listener && known.capture === capture)
    if (entry) this.#remove(entry)
  }

  #remove(entry: object): void {
    const at = this.#listeners.findIndex((known) => known === entry)
    if (at >= 0) this.#listeners.splice(at, 1)
  }

  has(type: string): boolean {
    return typeof Reflect.get(this, `on${type}`) === 'function' || this.#listeners.some((known) => known.type === type)
  }

  /** Calls the listeners of one phase; the `on…` property belongs to the bubbling one. Undefined: both, capturing first. */
  emit(event: SimEvent, phase?: 'capture' | 'bubble'): void {
    const wanted = [...this.#listeners].filter(({ type }) => type === event.type)
    if (phase !== 'bubble') for (const entry of wanted) if (entry.capture) this.#call(entry, event)
    if (phase === 'capture') return
    const own: unknown = Reflect.get(this, `on${event.type}`)
    if (typeof own === 'function') Reflect.apply(own, this, [event])
    for (const entry of wanted) if (!entry.capture) this.#call(entry, event)
  }

  #call(entry: { listener: Listener; once: boolean }, event: SimEvent): void {
    if (entry.once) this.#remove(entry)
    entry.listener.call(this, event)
  }
}

export const makeEvent = (type: string, target: unknown, more: Partial<SimEvent> = {}): SimEvent => ({ type, target, preventDefault: () => {}, ...more })
