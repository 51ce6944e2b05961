import { createRouter, createWebHistory } from 'vue-router'
import About from './About.vue'
import Home from './Home.vue'

export const router = createRouter({
  history: createWebHistory(),
  routes: [
    { path: '/', component: Home },
    { path: '/about', component: About },
  ],
})
