import type { World } from './world.ts'
import type { Page } from '../support/browsers/index.ts'
export const crash = async (_world: World, _page: Page): Promise<void> => {}
